# SPDX-License-Identifier: Apache-2.0
"""No more backups and restores move data at once than backup_max_operations says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.backups.conftest import shown
from tests.functional.backups.test_statuses import DRIVER, ScriptedCloud
from tests.functional.service import services
from tests.scripted.volume_driver import Script
from tests.servers import Broker, until
from worker.journal.journal import Journal

MOST = 2
METHODS = ("backup", "restore")


@pytest.fixture
def scripted(broker: Broker, tmp_path: Path) -> Iterator[ScriptedCloud]:
    store = Script(tmp_path / "store-script")
    options = {"backup_driver": DRIVER, "backup_script": str(store.directory)}
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    with services(tmp_path, forked=True) as make:
        more = {**options, "backup_max_operations": MOST}
        made = ScriptedCloud(make, broker.vhost(), database, tmp_path, None, more)
        made.store_script, made.device = store, tmp_path / "device"
        made.device.write_bytes(b"what is in there")
        made.play()
        made.start()
        yield from shown(made)
        made.close()


def moving(scripted: ScriptedCloud) -> int:
    """Return how many transfers were begun."""
    return len([call for call in scripted.store_script.calls() if call["method"] in METHODS])


def accepted(scripted: ScriptedCloud) -> int:
    """Return how many operations that move data were taken from the bus."""
    journal = Journal(f"sqlite:///{scripted.backup_service.directory}/state/journal.sqlite")
    try:
        wanted = ("continue_backup", "restore_backup")
        return len([entry for entry in journal.entries() if entry.method in wanted])
    finally:
        journal.close()


def closed(scripted: ScriptedCloud, gate: Path) -> None:
    """Have every transfer wait from now on."""
    plan: dict[str, Any] = {name: {"wait_for": str(gate)} for name in METHODS}
    scripted.play(store=plan)


def require_moving(scripted: ScriptedCloud, count: int) -> None:
    """Wait until so many were begun, and see that no other is, while the service goes on."""
    until(lambda: moving(scripted) >= count, 60, f"{count} transfers to begin")
    for _ in range(3):
        scripted.call_backup("check_support_to_force_delete")
    assert moving(scripted) == count


def test_the_others_wait(scripted: ScriptedCloud, tmp_path: Path) -> None:
    old, target, gate = scripted.made(scripted.existing()), scripted.existing(), tmp_path / "gate"
    closed(scripted, gate)
    made = [scripted.begin(scripted.existing()) for _ in range(3)]
    scripted.restore(old, target)
    until(lambda: accepted(scripted) == 5, 60, "all of them to be taken")
    require_moving(scripted, 1 + MOST)

    gate.touch()
    for one in made:
        scripted.wait_status(one, "available")
    scripted.wait_status(target, "available")
    assert moving(scripted) == 5


def test_the_others_wait_after_a_kill_too(scripted: ScriptedCloud, tmp_path: Path) -> None:
    made = [scripted.made(scripted.existing()) for _ in range(4)]
    targets, gate = [scripted.existing() for _ in made], tmp_path / "gate"
    closed(scripted, gate)
    for backup, target in zip(made, targets, strict=True):
        scripted.restore(backup, target)
    until(lambda: accepted(scripted) == 8, 60, "all of them to be taken")
    require_moving(scripted, 4 + MOST)
    scripted.backup_service.kill()
    scripted.backup_service.start()
    require_moving(scripted, 4 + MOST + MOST)

    gate.touch()
    for target in targets:
        scripted.wait_status(target, "available")
