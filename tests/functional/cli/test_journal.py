# SPDX-License-Identifier: Apache-2.0
"""A damaged journal has a way out; a removed one is noticed, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.cli.test_operator_requests import holdfast
from tests.functional.cloud import Cloud
from tests.functional.service import Service
from tests.servers import until


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    made = Cloud(
        volume_service,
        rabbit_url,
        f"sqlite:///{tmp_path / 'cinder.sqlite'}",
        tmp_path,
        DEFAULT={"graceful_shutdown_timeout": 1},
    )
    made.service.start()
    yield made
    made.close()


def journal_of(cloud: Cloud) -> Path:
    return cloud.service.directory / "state" / "journal.sqlite"


def remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def test_a_damaged_journal_is_named_and_replaced(cloud: Cloud) -> None:
    path = journal_of(cloud)
    assert "is sound" in holdfast(cloud, "journal", "check").stdout
    cloud.service.stop()
    with path.open("r+b") as file:
        file.write(b"\xff" * 4096)

    process = cloud.service.launch()
    until(lambda: process.returncode is not None, 60, "the end of the start")
    log = cloud.service.log.read_text(errors="replace")
    checked = holdfast(cloud, "journal", "check")
    replaced = holdfast(cloud, "journal", "replace")
    cloud.service.start()

    assert process.returncode == 69
    assert f"the journal {path} is damaged" in log
    assert "Traceback" not in log
    assert checked.returncode == 1
    assert replaced.returncode == 0, replaced.stderr
    assert list(path.parent.glob("journal.sqlite.damaged-*"))
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "available")


def test_a_removed_journal_is_noticed_and_its_operations_resume(
    cloud: Cloud, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cloud.script.plan(create_volume={"wait_for": str(gate)})
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    until(lambda: cloud.script.calls("create_volume"), 60, "the driver to be asked")
    process = cloud.service.process
    assert process is not None

    remove(journal_of(cloud))
    until(lambda: process.returncode is not None, 60, "the end of the service")
    gate.touch()
    cloud.service.start()

    assert "was removed, replaced or cut in use" in cloud.service.log.read_text(errors="replace")
    cloud.wait_status(volume, "available")
