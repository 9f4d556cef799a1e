# SPDX-License-Identifier: Apache-2.0
"""The directory of a backend, or of backups, is not mounted at a start, and comes back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.backups.backup_cloud import SERVICE, BackupCloud
from tests.functional.cloud import BACKEND, HOST, PROJECT, USER
from tests.functional.service import services
from tests.servers import Broker
from worker.backends.directory_mark import MARKER

POOL_HOST = f"{HOST}#{BACKEND}"
MISSING = f"has no file \\{MARKER}, and .*: mount its file system there"
PATIENCE = 90.0


@pytest.fixture
def cloud(broker: Broker, tmp_path: Path, forked: bool) -> Iterator[BackupCloud]:
    """A volume and a backup service that keep files, not started yet."""
    backend = {"volume_driver": "local", "local_path": str(tmp_path / "volumes")}
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    options = {
        "backup_posix_path": str(tmp_path / "backups"),
        "backup_driver_init_check_interval": 5,
    }
    with services(tmp_path, forked=forked) as make:
        made = BackupCloud(make, broker.vhost(), database, tmp_path, backend, options)
        yield made
        made.close()


class Disk:
    """A directory that stands for a mounted file system."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._away = place.with_name(f"{place.name}-disk")

    def unmount(self) -> None:
        self.place.rename(self._away)
        self.place.mkdir()

    def mount(self) -> None:
        self.place.rmdir()  # nothing was written beside the disk
        self._away.rename(self.place)

    def names(self) -> list[str]:
        return [path.name for path in self.place.iterdir()]


def created(cloud: BackupCloud) -> Record:
    volume = cloud.volume(host=POOL_HOST)
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "available")
    return volume


def columns(cloud: BackupCloud, volume: Record) -> dict[str, Any]:
    found = cloud.records.volumes.get(volume.id)
    return {name: found[name] for name in ("status", "attach_status", "host", "updated_at")}


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_backend_without_its_disk_stays_down_and_touches_no_row(
    cloud: BackupCloud, tmp_path: Path, state: str
) -> None:
    disk = Disk(tmp_path / "volumes")
    cloud.service.start()
    volumes = [created(cloud) for _ in range(2)]
    attached = volumes[0]
    cloud.records.volumes.update(attached.id, status="in-use", attach_status="attached")
    cloud.attachment(attached, "attached", attached_host="h1")
    cloud.service.stop()
    before = [columns(cloud, volume) for volume in volumes]
    disk.unmount()
    if state == "lost":
        shutil.rmtree(cloud.service.directory / "state" / "directories")

    cloud.service.start()
    after = cloud.service.position()
    cloud.service.wait_for_log("backend b1: next attempt in 2 s", PATIENCE)
    log = cloud.service.text()
    assert [line for line in log.splitlines() if " ERROR " in line and MARKER in line][1:] == []
    cloud.service.wait_for_log(MISSING, PATIENCE)
    assert "Traceback" not in log
    assert disk.names() == []
    assert [columns(cloud, volume) for volume in volumes] == before
    disk.mount()
    cloud.service.wait_for_log("backend b1 is up after", PATIENCE, after=after)

    volumes.append(created(cloud))
    assert {volume.name for volume in volumes} < set(disk.names())


def test_an_operator_accepts_an_empty_directory(cloud: BackupCloud, tmp_path: Path) -> None:
    disk = Disk(tmp_path / "volumes")
    cloud.service.start()
    created(cloud)
    cloud.service.stop()
    disk.unmount()
    cloud.service.start()
    cloud.service.wait_for_log(MISSING, PATIENCE)
    (disk.place / MARKER).touch()
    cloud.service.wait_for_log("backend b1 is up after", PATIENCE)

    assert created(cloud).name in disk.names()


def test_a_store_of_backups_without_its_disk_stays_down(cloud: BackupCloud, tmp_path: Path) -> None:
    disk = Disk(tmp_path / "backups")
    cloud.backup_service.start()
    cloud.records.backups.create(
        volume_id="v1",
        user_id=USER,
        project_id=PROJECT,
        host="h1",
        status="available",
        service=SERVICE,
        size=1,
    )
    cloud.backup_service.stop()
    disk.unmount()
    cloud.backup_service.start()
    cloud.backup_service.wait_for_log(f"the store of backups cannot be used: .*{MISSING}", PATIENCE)
    assert disk.names() == []
    disk.mount()

    cloud.backup_service.wait_for_log("store of backups is up after", PATIENCE)
    assert MARKER in disk.names()


def test_a_backend_whose_disk_vanishes_in_use_goes_down_until_it_is_back(
    cloud: BackupCloud, tmp_path: Path
) -> None:
    disk = Disk(tmp_path / "volumes")
    cloud.service.start()
    kept = created(cloud)
    disk.unmount()
    cloud.service.wait_for_log(f"backend b1 is down, its operations fail: .*{MISSING}", PATIENCE)
    cloud.records.volumes.update(kept.id, status="deleting")
    cloud.cast("delete_volume", volume=kept)
    cloud.wait_status(kept, "error_deleting")
    refused = cloud.volume(host=POOL_HOST)
    cloud.cast("create_volume", volume=refused)
    cloud.wait_status(refused, "error")
    assert disk.names() == []
    disk.mount()
    cloud.service.wait_for_log("backend b1 is up again", PATIENCE)

    assert kept.name in disk.names()
    assert created(cloud).name in disk.names()


def test_a_store_of_backups_whose_disk_vanishes_in_use_goes_down(
    cloud: BackupCloud, tmp_path: Path
) -> None:
    disk = Disk(tmp_path / "backups")
    cloud.backup_service.start()
    disk.unmount()
    cloud.backup_service.wait_for_log(f"the store of backups is down, .*{MISSING}", PATIENCE)
    disk.mount()

    cloud.backup_service.wait_for_log("the store of backups is up again", PATIENCE)
