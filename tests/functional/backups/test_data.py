# SPDX-License-Identifier: Apache-2.0
"""Real volumes, real objects: restored data equals the original."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from drivers.interface.records import Record
from flows.backup import record
from tests.conformance.places import loop_mount
from tests.functional.backups.backup_cloud import GIB, SERVICE, BackupCloud
from tests.functional.backups.conftest import running
from tests.functional.cloud import NODE
from tests.servers import Broker, until
from worker.backends.directory_mark import MARKER
from worker.db import models


def temporary(cloud: BackupCloud) -> list[str]:
    """Return objects on the backend without a volume or snapshot of a test."""
    known = {row.name for row in cloud.records.volumes.list() if row.use_quota}
    known |= {row.name for row in cloud.records.snapshots.list() if row.use_quota}
    known.add(MARKER)
    return sorted(
        name for name in os.listdir(cloud.volumes_path) if name.rpartition("@")[2] not in known
    )


def snapshot_of(cloud: BackupCloud, volume):
    snapshot = cloud.snapshot(volume)
    cloud.cast("create_snapshot", snapshot=snapshot)
    return cloud.wait_status(snapshot, "available")


class TestRoundTrip:
    def test_a_full_backup_comes_back(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(1)
        backup = cloud.made(volume)
        assert (backup.service, backup.availability_zone) == (SERVICE, "nova")
        assert backup.object_count > 1
        after = cloud.records.volumes.get(volume.id)
        assert (after.status, after.previous_status) == ("available", "backing-up")

        target = cloud.filled(2)
        cloud.restore(backup, target)
        row = cloud.wait_status(target, "available")
        cloud.wait_status(backup, "available")
        assert cloud.same(volume, target)
        assert row is not None and row.metadata == {"src_backup_id": backup.id}

    def test_a_chain_comes_back_link_by_link(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(3)
        chain, copies = [cloud.made(volume)], []
        for seed in (4, 5):
            copies.append(cloud.path(volume).with_suffix(f".{seed}"))
            os.system(f"cp --sparse=always {cloud.path(volume)} {copies[-1]}")
            cloud.scribble(volume, seed)
            chain.append(cloud.made(volume, parent_id=chain[-1].id))
        counts = [cloud.records.backups.get(one.id).num_dependent_backups for one in chain]
        assert counts == [1, 1, 0]
        for backup, wanted in zip(chain, [*copies, cloud.path(volume)], strict=True):
            target = cloud.filled(6)
            cloud.restore(backup, target)
            cloud.wait_status(target, "available")
            assert cloud.same(wanted, target)
        for copy in copies:
            copy.unlink()

    def test_a_volume_in_use_is_read_as_of_one_moment(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(7, status="in-use")
        backup = cloud.made(volume)
        after = cloud.records.volumes.get(volume.id)
        assert (after.status, after.previous_status) == ("in-use", "backing-up")
        row = cloud.records.backups.get(backup.id)
        assert row.temp_volume_id is None
        until(lambda: not temporary(cloud), 60, "the temporary clone to go")
        target = cloud.filled(8)
        cloud.restore(backup, target)
        cloud.wait_status(target, "available")
        assert cloud.same(volume, target)

    def test_a_snapshot_is_read_and_its_volume_left_alone(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(9, status="available")
        snapshot = snapshot_of(cloud, volume)
        before = cloud.path(volume).with_suffix(".before")
        os.system(f"cp --sparse=always {cloud.path(volume)} {before}")
        cloud.scribble(volume, 10)
        cloud.records.snapshots.update(snapshot.id, status="backing-up")
        backup = cloud.made(volume, snapshot_id=snapshot.id)
        assert cloud.status(snapshot) == "available"
        assert cloud.records.volumes.get(volume.id).previous_status is None
        target = cloud.filled(11)
        cloud.restore(backup, target)
        cloud.wait_status(target, "available")
        assert cloud.same(before, target)
        before.unlink()
        until(lambda: not temporary(cloud), 60, "the temporary volume to go")

    def test_a_new_volume_gets_the_data_and_its_launch(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(12)
        backup = cloud.made(volume)
        target = cloud.filled(13, size=2)
        os.truncate(cloud.path(target), 0)
        os.truncate(cloud.path(target), 2 * GIB)
        cloud.restore(backup, target, new=True)
        cloud.wait_status(target, "available")
        assert cloud.same(volume, target)
        assert cloud.path(target).stat().st_blocks * 512 < 32 * 2**20

    def test_a_volume_that_is_being_created_is_available_in_the_end(
        self, cloud: BackupCloud
    ) -> None:
        volume = cloud.filled(14)
        backup = cloud.made(volume)
        target = cloud.filled(15)
        cloud.restore(backup, target)
        cloud.wait_status(target, "available")
        cloud.wait_status(backup, "available")
        cloud.records.volumes.update(target.id, status="creating", launched_at=None)
        cloud.records.backups.update(backup.id, status="restoring")
        row = cloud.records.backups.get(backup.id)
        cloud.cast_backup("restore_backup", backup=row, volume_id=target.id, volume_is_new=False)
        done = cloud.wait_status(target, "available")
        assert done is not None and done.launched_at is not None

    def test_metadata_comes_back(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(16, display_name="mine", display_description="a text")
        cloud.records.volumes.update(volume.id, metadata={"key": "välue"})
        cloud.records.volumes.replace_image_metadata(volume.id, {"os": "linux"})
        backup = cloud.made(volume)
        target = cloud.filled(17, display_name="restore_backup_x")
        cloud.records.volumes.update(target.id, metadata={"other": "goes"})
        cloud.restore(backup, target)
        row = cloud.wait_status(target, "available")
        assert row is not None
        assert (row.display_name, row.display_description) == ("mine", "a text")
        assert row.metadata == {"key": "välue", "src_backup_id": backup.id}
        assert row.glance_metadata == {"os": "linux"}
        assert row.bootable

    def test_a_name_that_somebody_chose_stays(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(18, display_name="mine")
        backup = cloud.made(volume)
        target = cloud.filled(19, display_name="yours")
        cloud.restore(backup, target)
        row = cloud.wait_status(target, "available")
        assert row is not None and row.display_name == "yours"


class TestDelete:
    def test_a_backup_leaves_nothing(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(20)
        full = cloud.made(volume)
        leaf = cloud.made(volume, parent_id=full.id)
        for backup in (leaf, full):
            assert (cloud.store / backup.container).is_dir()
            cloud.records.backups.update(backup.id, status="deleting")
            cloud.cast_backup("delete_backup", backup=backup)
            cloud.wait_status(backup, "gone")
            assert not (cloud.store / backup.container).exists()
        row = cloud.records.backups.find(full.id)
        assert row is not None and row.num_dependent_backups == 0

    def test_one_that_others_build_on_stays(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(21)
        full = cloud.made(volume)
        leaf = cloud.made(volume, parent_id=full.id)
        cloud.records.backups.update(full.id, status="deleting")
        cloud.cast_backup("delete_backup", backup=full)
        row = cloud.wait_status(full, "available")
        assert row is not None and leaf.id in row.fail_reason
        target = cloud.filled(22)
        cloud.restore(leaf, target)
        cloud.wait_status(target, "available")
        assert cloud.same(volume, target)

    def test_what_is_gone_from_the_store_is_no_failure(self, cloud: BackupCloud) -> None:
        backup = cloud.made(cloud.filled(23))
        os.system(f"rm -r {cloud.store / backup.container}")
        cloud.records.backups.update(backup.id, status="deleting")
        cloud.cast_backup("delete_backup", backup=backup)
        cloud.wait_status(backup, "gone")


class TestRecords:
    def test_a_record_goes_round(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(24)
        backup = cloud.made(volume)
        told = cloud.call_backup("export_record", backup=backup)
        assert told["backup_service"] == SERVICE
        cloud.records.backups.destroy(backup.id)
        revived = {"deleted": False, "deleted_at": None, "status": "creating"}
        gone = {"container": None, "service_metadata": None, "object_count": 0}
        _revive(cloud, backup.id, {**revived, **gone})
        row = cloud.records.backups.get(backup.id)
        cloud.cast_backup("import_record", backup=row, backup_hosts=[], **told)
        taken = cloud.wait_status(backup, "available")
        assert taken is not None
        assert (taken.host, taken.container, taken.object_count) == (
            NODE,
            backup.container,
            backup.object_count,
        )
        target = cloud.filled(25)
        cloud.restore(taken, target)
        cloud.wait_status(target, "available")
        assert cloud.same(volume, target)

    @pytest.mark.parametrize(
        "change",
        [
            {"container": "../../etc"},
            {"container": "a/../b"},
            {"container": "/etc"},
            {"container": "a\nb"},
            {"container": "a\0b"},
            {"container": 7},
            {"container": "c" * 300},
            {"service_metadata": "../p"},
            {"service_metadata": "p\x1b[2J"},
            {"service_metadata": None},
        ],
        ids=str,
    )
    def test_a_place_that_is_none_is_refused(
        self, cloud: BackupCloud, change: dict[str, Any]
    ) -> None:
        row = cloud.backup(cloud.existing())
        known = {"container": "a/b", "service_metadata": "p", "object_count": 1, **change}
        told = {"backup_service": SERVICE, "backup_url": record.encode(row.replace(**known), {})}
        cloud.cast_backup("import_record", backup=row, backup_hosts=[], **told)
        left = cloud.wait_status(row, "error")
        assert left is not None and "the record" in left.fail_reason
        assert "InvalidBackup" in cloud.failure_of(row)
        assert (left.container, left.service) == (None, None)

        cloud.records.backups.update(row.id, status="deleting")
        cloud.cast_backup("delete_backup", backup=row)
        cloud.wait_status(row, "gone")


class TestDamage:
    def test_a_spoilt_object_ends_in_an_error_that_names_it(self, cloud: BackupCloud) -> None:
        backup = cloud.made(cloud.filled(26))
        [first] = (cloud.store / backup.container).glob("*-00001")
        first.write_bytes(first.read_bytes()[:-1])
        target = cloud.filled(27)
        position = cloud.backup_service.position()
        cloud.restore(backup, target)
        cloud.wait_status(target, "error_restoring")
        cloud.wait_status(backup, "available")
        cloud.backup_service.wait_for_log(f"{first.name} is damaged", after=position)
        told = [m for m in cloud.records.messages.list() if m.resource_uuid == backup.id]
        assert [m.event_id for m in told] == ["VOLUME_VOLUME_BACKUP_015_026"]


class TestInterruption:
    def test_deleting_it_ends_a_backup_under_way(self, slow_cloud: BackupCloud) -> None:
        cloud = slow_cloud
        volume = cloud.filled(28)
        backup = cloud.begin(volume)
        until(lambda: [*cloud.store.rglob("*-00001")], 60, "the first object")
        cloud.records.backups.update(backup.id, status="deleting")
        cloud.cast_backup("delete_backup", backup=backup)
        cloud.wait_status(backup, "gone")
        cloud.wait_status(volume, "available")
        assert [path.name for path in cloud.store.rglob("*") if path.is_file()] == [MARKER]

    def test_what_was_kept_goes_with_the_wish_alone(self, slow_cloud: BackupCloud) -> None:
        cloud = slow_cloud
        volume = cloud.filled(53)
        backup = cloud.begin(volume)
        until(lambda: [*cloud.store.rglob("*-00001")], 60, "the first object")
        cloud.records.backups.update(backup.id, status="deleting")
        cloud.wait_status(volume, "available")
        assert [path.name for path in cloud.store.rglob("*") if path.is_file()] == [MARKER]
        assert cloud.status(backup) == "deleting"

    def test_another_status_ends_a_restore(self, slow_cloud: BackupCloud) -> None:
        cloud = slow_cloud
        backup = cloud.made(cloud.filled(29))
        target = cloud.filled(30)
        begin_restore(cloud, backup, target)
        cloud.records.backups.update(backup.id, status="available")
        cloud.wait_status(target, "error")
        assert cloud.status(backup) == "available"

    def test_a_stop_does_not_wait_for_it(self, slow_cloud: BackupCloud) -> None:
        cloud = slow_cloud
        volume = cloud.filled(54)
        backup = cloud.begin(volume)
        until(lambda: [*cloud.store.rglob("*-00001")], 60, "the first object")
        assert cloud.backup_service.stop() == 0
        assert cloud.status(backup) == "creating"
        cloud.backup_service.start()
        cloud.wait_status(backup, "available")
        cloud.wait_status(volume, "available")

    @pytest.mark.lasts(60)
    def test_a_killed_backup_goes_on(self, slow_cloud: BackupCloud) -> None:
        cloud = slow_cloud
        volume = cloud.filled(31)
        cloud.scribble(volume, 55, places=32)  # more than is stored until the first note
        backup = cloud.begin(volume)
        until(lambda: durable(cloud, backup), 60, "some objects to be durable")
        cloud.backup_service.kill()
        before = durable(cloud, backup)
        cloud.backup_service.start()
        row = cloud.wait_status(backup, "available")
        cloud.wait_status(volume, "available")
        assert row is not None and len(before) < row.object_count
        assert {path: identity(path) for path in before} == before
        target = cloud.filled(32)
        begin_restore(cloud, backup, target)
        cloud.backup_service.kill()
        cloud.backup_service.start()
        cloud.wait_status(target, "available")
        assert cloud.same(volume, target)


def begin_restore(cloud: BackupCloud, backup: Record, target: Record) -> None:
    """Have a backup restored, and wait until the first data is written."""
    path = Path(cloud.path(target))
    before = path.stat().st_mtime_ns
    cloud.restore(backup, target)
    until(lambda: path.stat().st_mtime_ns != before, 60, "the restore to write")


def durable(cloud: BackupCloud, backup: Record) -> dict[Path, tuple[int, int]]:
    """Return the checkpoint of a running backup, and its files."""
    work = cloud.backup_service.directory / "state" / "backup-work"
    notes = work / f"{backup.id}.notes"
    text = notes.read_text() if notes.exists() else ""
    names = set(re.findall(rf"volume_\S+_backup_{backup.id}-\d{{5}}", text))
    return {path: identity(path) for path in cloud.store.rglob("*-?????") if path.name in names}


def identity(path: Path) -> tuple[int, int]:
    """Return the fields in which a rewritten file differs."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _revive(cloud: BackupCloud, backup_id: str, columns: dict) -> None:
    with cloud.database.writer() as connection:
        connection.execute(
            sa.update(models.backups).where(models.backups.c.id == backup_id).values(**columns)
        )


class TestVolumesOfBackups:
    def test_one_is_made_and_filled(self, cloud: BackupCloud) -> None:
        backup = cloud.made(cloud.filled(33))
        origin = cloud.records.volumes.get(backup.volume_id)
        volume = cloud.volume()
        spec = {"backup_id": backup.id, "volume_properties": {"size": 1}}
        cloud.cast("create_volume", volume=volume, request_spec=spec)
        row = cloud.wait_status(volume, "available")
        cloud.wait_status(backup, "available")
        assert cloud.same(origin, volume)
        assert row is not None and row.launched_at is not None
        assert row.metadata == {"src_backup_id": backup.id}

    def test_one_that_is_too_small_fails(self, cloud: BackupCloud) -> None:
        backup = cloud.made(cloud.filled(34))
        cloud.records.backups.update(backup.id, size=2)
        volume = cloud.volume()
        spec = {"backup_id": backup.id, "volume_properties": {"size": 1}}
        cloud.cast("create_volume", volume=volume, request_spec=spec)
        cloud.wait_status(volume, "error")
        assert cloud.status(backup) == "available"

    def test_without_a_service_it_fails_and_the_backup_is_as_before(
        self, slow_cloud: BackupCloud
    ) -> None:
        cloud = slow_cloud
        backup = cloud.backup(cloud.filled(35), "available", service=SERVICE)
        cloud.backup_service.kill()
        cloud.database.change(_DISABLE, {})
        volume = cloud.volume()
        spec = {"backup_id": backup.id, "volume_properties": {"size": 1}}
        cloud.cast("create_volume", volume=volume, request_spec=spec)
        cloud.wait_status(volume, "error")
        assert cloud.status(backup) == "available"


class TestLeftovers:
    def test_what_another_service_left_is_ended(self, slow_cloud: BackupCloud) -> None:
        cloud = slow_cloud
        made = cloud.filled(36)
        read = cloud.existing("backing-up", previous_status="in-use")
        target = cloud.existing("restoring-backup")
        being_made = cloud.backup(read, "creating", service=SERVICE)
        restored = cloud.backup(made, "restoring", restore_volume_id=target.id, service=SERVICE)
        deleted = cloud.backup(made, "deleting")
        lost = cloud.backup(made, "creating")
        marked = {"display_name": f"backup-vol-{made.id}", "use_quota": False}
        new, temporary = cloud.existing("creating"), cloud.existing("backing-up", **marked)
        cloud.backup(made, "restoring", restore_volume_id=new.id, service=SERVICE)
        cloud.backup(made, "error", temp_volume_id=temporary.id, service=SERVICE)
        cloud.backup_service.kill()
        cloud.backup_service.module = "tests.functional.backups.short_grace"
        cloud.backup_service.start()
        row = cloud.wait_status(being_made, "error")
        assert row is not None and "left no journal" in row.fail_reason
        cloud.wait_status(read, "in-use")
        cloud.wait_status(restored, "available")
        cloud.wait_status(target, "error_restoring")
        cloud.wait_status(deleted, "gone")
        cloud.wait_status(lost, "error")
        cloud.wait_status(new, "error")
        cloud.wait_status(temporary, "gone")
        assert not cloud.path(temporary).exists()


class TestChangedExtents:
    def test_only_what_changed_since_the_snapshot_is_read(
        self, broker: Broker, tmp_path: Path
    ) -> None:
        make = ["mkfs.xfs", "-q", "-m", "reflink=1"]
        (tmp_path / "disk").mkdir()
        with loop_mount(make, tmp_path / "disk") as disk:
            options = {"local_path": str(disk / "volumes")}
            with running(broker, tmp_path, backend=options) as cloud:
                cloud.volumes_path = disk / "volumes"
                volume = cloud.filled(37)
                chain = []
                for seed in (38, 39):
                    snapshot = snapshot_of(cloud, volume)
                    cloud.records.snapshots.update(snapshot.id, status="backing-up")
                    parent = chain[-1].id if chain else None
                    chain.append(cloud.made(volume, snapshot_id=snapshot.id, parent_id=parent))
                    if not parent:
                        with open(cloud.path(volume), "r+b") as file:
                            file.seek(seed * 2**20)
                            file.write(b"changed")
                            file.flush()
                text = cloud.backup_service.text()
                [count] = re.findall(r"(\d+) bytes may have changed", text)
                assert 0 < int(count) <= 2**20
                target = cloud.filled(40)
                cloud.restore(chain[-1], target)
                cloud.wait_status(target, "available")
                assert cloud.same(volume, target)


_DISABLE = (
    sa.update(models.services)
    .where(models.services.c.binary == "cinder-backup")
    .values(disabled=True)
)
