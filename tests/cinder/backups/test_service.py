# SPDX-License-Identifier: Apache-2.0
"""A backup service whose store is a driver written for Cinder, killed in the middle of its work."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.interface.records import Record  # noqa: E402
from tests.functional.backups.backup_cloud import BackupCloud  # noqa: E402
from tests.functional.backups.conftest import running, shown  # noqa: E402
from tests.servers import Broker, patient, until  # noqa: E402

DRIVER = "tests.cinder.backups.guests.FileGuest"

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def shared_cloud(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackupCloud]:
    directory = tmp_path_factory.mktemp("guest")
    options = {
        "backup_driver": DRIVER,
        "guest_directory": str(directory / "store"),
        "guest_gate": str(directory / "gate"),
        "guest_piece": 1 << 26,
    }
    with running(broker, directory, **options) as cloud:
        cloud.store = directory / "store"
        yield cloud


@pytest.fixture
def cloud(shared_cloud: BackupCloud) -> Iterator[BackupCloud]:
    gate(shared_cloud).unlink(missing_ok=True)
    yield from shown(shared_cloud)


def gate(cloud: BackupCloud) -> Path:
    return cloud.store.with_name("gate")


def stored(cloud: BackupCloud, backup: Record) -> list[Path]:
    return sorted(cloud.store.glob(f"{backup.id}-*"))


def test_a_backup_goes_round_and_says_what_it_cannot_promise(cloud: BackupCloud) -> None:
    volume, target = cloud.filled(81), cloud.filled(82)
    backup = cloud.made(volume)
    assert (backup.service, backup.object_count) == (DRIVER, 1)
    assert backup.service_metadata == stored(cloud, backup)[0].name
    assert "Cinder's drivers of backups cannot resume" in cloud.backup_service.text(0)

    cloud.restore(backup, target)
    cloud.wait_status(target, "available")
    cloud.wait_status(backup, "available")
    assert cloud.same(volume, target)

    cloud.records.backups.update(backup.id, status="deleting")
    cloud.cast_backup("delete_backup", backup=cloud.records.backups.get(backup.id))
    cloud.wait_status(backup, "gone")
    assert stored(cloud, backup) == []


def test_a_backup_that_is_killed_is_made_again(cloud: BackupCloud) -> None:
    volume, target = cloud.filled(83), cloud.filled(84)
    gate(cloud).touch()
    backup = cloud.begin(volume)
    until(lambda: stored(cloud, backup), patient(60), "the driver to begin")
    [half] = stored(cloud, backup)
    cloud.backup_service.kill()
    gate(cloud).unlink()
    cloud.backup_service.start()
    cloud.wait_status(backup, "available")
    cloud.wait_status(volume, "available")

    assert not half.exists() and len(stored(cloud, backup)) == 1
    cloud.restore(cloud.records.backups.get(backup.id), target)
    cloud.wait_status(target, "available")
    assert cloud.same(volume, target)


def test_a_restore_that_is_killed_is_written_again(cloud: BackupCloud) -> None:
    volume, target = cloud.filled(85), cloud.filled(86)
    backup = cloud.made(volume)
    gate(cloud).touch()
    position = cloud.backup_service.position()
    cloud.restore(backup, target)
    cloud.backup_service.wait_for_log("restore_backup", patient(60), after=position)
    cloud.backup_service.kill()
    gate(cloud).unlink()
    cloud.backup_service.start()
    cloud.wait_status(target, "available")
    cloud.wait_status(backup, "available")

    assert cloud.same(volume, target)


def test_a_backup_that_is_deleted_meanwhile_ends(cloud: BackupCloud) -> None:
    volume = cloud.filled(87)
    gate(cloud).touch()
    backup = cloud.begin(volume)
    until(lambda: stored(cloud, backup), patient(60), "the driver to begin")
    cloud.records.backups.update(backup.id, status="deleting")
    cloud.cast_backup("delete_backup", backup=cloud.records.backups.get(backup.id))
    gate(cloud).unlink()
    cloud.wait_status(backup, "gone")

    cloud.wait_status(volume, "available")
    assert stored(cloud, backup) == []
