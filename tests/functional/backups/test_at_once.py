# SPDX-License-Identifier: Apache-2.0
"""No more backups and restores move data at once than backup_max_operations says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.backups.conftest import shown
from tests.functional.backups.test_statuses import DRIVER, Stage
from tests.functional.service import services
from tests.scripted import Script
from tests.servers import Broker, until
from worker.journal.journal import Journal

MOST = 2
METHODS = ("backup", "restore")


@pytest.fixture
def stage(broker: Broker, tmp_path: Path) -> Iterator[Stage]:
    store = Script(tmp_path / "store-script")
    options = {"backup_driver": DRIVER, "backup_script": str(store.directory)}
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    with services(tmp_path) as make:
        more = {**options, "backup_max_operations": MOST}
        made = Stage(make, broker.vhost(), database, tmp_path, None, more)
        made.store_script, made.device = store, tmp_path / "device"
        made.device.write_bytes(b"what is in there")
        made.play()
        made.start()
        yield from shown(made)
        made.close()


def moving(stage: Stage) -> int:
    """Return how many transfers were begun."""
    return len([call for call in stage.store_script.calls() if call["method"] in METHODS])


def accepted(stage: Stage) -> int:
    """Return how many operations that move data were taken from the bus."""
    journal = Journal(f"sqlite:///{stage.backup_service.directory}/state/journal.sqlite")
    try:
        wanted = ("continue_backup", "restore_backup")
        return len([entry for entry in journal.entries() if entry.method in wanted])
    finally:
        journal.close()


def closed(stage: Stage, gate: Path) -> None:
    """Have every transfer wait from now on."""
    plan: dict[str, Any] = {name: {"wait_for": str(gate)} for name in METHODS}
    stage.play(store=plan)


def require_moving(stage: Stage, count: int) -> None:
    """Wait until so many were begun, and see that no other is, while the service goes on."""
    until(lambda: moving(stage) >= count, 60, f"{count} transfers to begin")
    for _ in range(3):
        stage.call_backup("check_support_to_force_delete")
    assert moving(stage) == count


def test_the_others_wait(stage: Stage, tmp_path: Path) -> None:
    old, target, gate = stage.made(stage.existing()), stage.existing(), tmp_path / "gate"
    closed(stage, gate)
    made = [stage.begin(stage.existing()) for _ in range(3)]
    stage.restore(old, target)
    until(lambda: accepted(stage) == 5, 60, "all of them to be taken")
    require_moving(stage, 1 + MOST)

    gate.touch()
    for one in made:
        stage.wait_status(one, "available")
    stage.wait_status(target, "available")
    assert moving(stage) == 5


def test_the_others_wait_after_a_kill_too(stage: Stage, tmp_path: Path) -> None:
    made = [stage.made(stage.existing()) for _ in range(4)]
    targets, gate = [stage.existing() for _ in made], tmp_path / "gate"
    closed(stage, gate)
    for backup, target in zip(made, targets, strict=True):
        stage.restore(backup, target)
    until(lambda: accepted(stage) == 8, 60, "all of them to be taken")
    require_moving(stage, 4 + MOST)
    stage.backup_service.kill()
    stage.backup_service.start()
    require_moving(stage, 4 + MOST + MOST)

    gate.touch()
    for target in targets:
        stage.wait_status(target, "available")
