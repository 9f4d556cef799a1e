# SPDX-License-Identifier: Apache-2.0
"""Real volumes, real objects: restored data equals the original."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from drivers.interface.records import Record
from flows.backup import record
from tests.conformance.places import loop_mount
from tests.functional.backups.conftest import running
from tests.functional.backups.vault import GIB, SERVICE, Vault
from tests.functional.cloud import NODE
from tests.servers import Broker, until
from worker.db import models


def temporary(vault: Vault) -> list[str]:
    """Return objects on the backend without a volume or snapshot of a test."""
    known = {row.name for row in vault.records.volumes.list() if row.use_quota}
    known |= {row.name for row in vault.records.snapshots.list() if row.use_quota}
    return sorted(
        name for name in os.listdir(vault.volumes_path) if name.rpartition("@")[2] not in known
    )


def snapshot_of(vault: Vault, volume):
    snapshot = vault.snapshot(volume)
    vault.cast("create_snapshot", snapshot=snapshot)
    return vault.wait_status(snapshot, "available")


class TestRoundTrip:
    def test_a_full_backup_comes_back(self, vault: Vault) -> None:
        volume = vault.filled(1)
        backup = vault.made(volume)
        assert (backup.service, backup.availability_zone) == (SERVICE, "nova")
        assert backup.object_count > 1
        after = vault.records.volumes.get(volume.id)
        assert (after.status, after.previous_status) == ("available", "backing-up")

        target = vault.filled(2)
        vault.restore(backup, target)
        row = vault.wait_status(target, "available")
        vault.wait_status(backup, "available")
        assert vault.same(volume, target)
        assert row is not None and row.metadata == {"src_backup_id": backup.id}

    def test_a_chain_comes_back_link_by_link(self, vault: Vault) -> None:
        volume = vault.filled(3)
        chain, copies = [vault.made(volume)], []
        for seed in (4, 5):
            copies.append(vault.path(volume).with_suffix(f".{seed}"))
            os.system(f"cp --sparse=always {vault.path(volume)} {copies[-1]}")
            vault.scribble(volume, seed)
            chain.append(vault.made(volume, parent_id=chain[-1].id))
        counts = [vault.records.backups.get(one.id).num_dependent_backups for one in chain]
        assert counts == [1, 1, 0]
        for backup, wanted in zip(chain, [*copies, vault.path(volume)], strict=True):
            target = vault.filled(6)
            vault.restore(backup, target)
            vault.wait_status(target, "available")
            assert vault.same(wanted, target)
        for copy in copies:
            copy.unlink()

    def test_a_volume_in_use_is_read_as_of_one_moment(self, vault: Vault) -> None:
        volume = vault.filled(7, status="in-use")
        backup = vault.made(volume)
        after = vault.records.volumes.get(volume.id)
        assert (after.status, after.previous_status) == ("in-use", "backing-up")
        row = vault.records.backups.get(backup.id)
        assert row.temp_volume_id is None
        until(lambda: not temporary(vault), 60, "the temporary clone to go")
        target = vault.filled(8)
        vault.restore(backup, target)
        vault.wait_status(target, "available")
        assert vault.same(volume, target)

    def test_a_snapshot_is_read_and_its_volume_left_alone(self, vault: Vault) -> None:
        volume = vault.filled(9, status="available")
        snapshot = snapshot_of(vault, volume)
        before = vault.path(volume).with_suffix(".before")
        os.system(f"cp --sparse=always {vault.path(volume)} {before}")
        vault.scribble(volume, 10)
        vault.records.snapshots.update(snapshot.id, status="backing-up")
        backup = vault.made(volume, snapshot_id=snapshot.id)
        assert vault.status(snapshot) == "available"
        assert vault.records.volumes.get(volume.id).previous_status is None
        target = vault.filled(11)
        vault.restore(backup, target)
        vault.wait_status(target, "available")
        assert vault.same(before, target)
        before.unlink()
        until(lambda: not temporary(vault), 60, "the temporary volume to go")

    def test_a_new_volume_gets_the_data_and_its_launch(self, vault: Vault) -> None:
        volume = vault.filled(12)
        backup = vault.made(volume)
        target = vault.filled(13, size=2)
        os.truncate(vault.path(target), 0)
        os.truncate(vault.path(target), 2 * GIB)
        vault.restore(backup, target, new=True)
        vault.wait_status(target, "available")
        assert vault.same(volume, target)
        assert vault.path(target).stat().st_blocks * 512 < 32 * 2**20

    def test_a_volume_that_is_being_created_is_available_in_the_end(self, vault: Vault) -> None:
        volume = vault.filled(14)
        backup = vault.made(volume)
        target = vault.filled(15)
        vault.restore(backup, target)
        vault.wait_status(target, "available")
        vault.records.volumes.update(target.id, status="creating", launched_at=None)
        vault.records.backups.update(backup.id, status="restoring")
        row = vault.records.backups.get(backup.id)
        vault.cast_backup("restore_backup", backup=row, volume_id=target.id, volume_is_new=False)
        done = vault.wait_status(target, "available")
        assert done is not None and done.launched_at is not None

    def test_metadata_comes_back(self, vault: Vault) -> None:
        volume = vault.filled(16, display_name="mine", display_description="a text")
        vault.records.volumes.update(volume.id, metadata={"key": "välue"})
        vault.records.volumes.replace_image_metadata(volume.id, {"os": "linux"})
        backup = vault.made(volume)
        target = vault.filled(17, display_name="restore_backup_x")
        vault.records.volumes.update(target.id, metadata={"other": "goes"})
        vault.restore(backup, target)
        row = vault.wait_status(target, "available")
        assert row is not None
        assert (row.display_name, row.display_description) == ("mine", "a text")
        assert row.metadata == {"key": "välue", "src_backup_id": backup.id}
        assert row.glance_metadata == {"os": "linux"}
        assert row.bootable

    def test_a_name_that_somebody_chose_stays(self, vault: Vault) -> None:
        volume = vault.filled(18, display_name="mine")
        backup = vault.made(volume)
        target = vault.filled(19, display_name="yours")
        vault.restore(backup, target)
        row = vault.wait_status(target, "available")
        assert row is not None and row.display_name == "yours"


class TestDelete:
    def test_a_backup_leaves_nothing(self, vault: Vault) -> None:
        volume = vault.filled(20)
        full = vault.made(volume)
        leaf = vault.made(volume, parent_id=full.id)
        for backup in (leaf, full):
            assert (vault.store / backup.container).is_dir()
            vault.records.backups.update(backup.id, status="deleting")
            vault.cast_backup("delete_backup", backup=backup)
            vault.wait_status(backup, "gone")
            assert not (vault.store / backup.container).exists()
        row = vault.records.backups.find(full.id)
        assert row is not None and row.num_dependent_backups == 0

    def test_one_that_others_build_on_stays(self, vault: Vault) -> None:
        volume = vault.filled(21)
        full = vault.made(volume)
        leaf = vault.made(volume, parent_id=full.id)
        vault.records.backups.update(full.id, status="deleting")
        vault.cast_backup("delete_backup", backup=full)
        row = vault.wait_status(full, "available")
        assert row is not None and leaf.id in row.fail_reason
        target = vault.filled(22)
        vault.restore(leaf, target)
        vault.wait_status(target, "available")
        assert vault.same(volume, target)

    def test_what_is_gone_from_the_store_is_no_failure(self, vault: Vault) -> None:
        backup = vault.made(vault.filled(23))
        os.system(f"rm -r {vault.store / backup.container}")
        vault.records.backups.update(backup.id, status="deleting")
        vault.cast_backup("delete_backup", backup=backup)
        vault.wait_status(backup, "gone")


class TestRecords:
    def test_a_record_goes_round(self, vault: Vault) -> None:
        volume = vault.filled(24)
        backup = vault.made(volume)
        told = vault.call_backup("export_record", backup=backup)
        assert told["backup_service"] == SERVICE
        vault.records.backups.destroy(backup.id)
        revived = {"deleted": False, "deleted_at": None, "status": "creating"}
        gone = {"container": None, "service_metadata": None, "object_count": 0}
        _revive(vault, backup.id, {**revived, **gone})
        row = vault.records.backups.get(backup.id)
        vault.cast_backup("import_record", backup=row, backup_hosts=[], **told)
        taken = vault.wait_status(backup, "available")
        assert taken is not None
        assert (taken.host, taken.container, taken.object_count) == (
            NODE,
            backup.container,
            backup.object_count,
        )
        target = vault.filled(25)
        vault.restore(taken, target)
        vault.wait_status(target, "available")
        assert vault.same(volume, target)

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
    def test_a_place_that_is_none_is_refused(self, vault: Vault, change: dict[str, Any]) -> None:
        row = vault.backup(vault.existing())
        known = {"container": "a/b", "service_metadata": "p", "object_count": 1, **change}
        told = {"backup_service": SERVICE, "backup_url": record.encode(row.replace(**known), {})}
        vault.cast_backup("import_record", backup=row, backup_hosts=[], **told)
        left = vault.wait_status(row, "error")
        assert left is not None and "the record" in left.fail_reason
        assert "InvalidBackup" in vault.failure_of(row)
        assert (left.container, left.service) == (None, None)

        vault.records.backups.update(row.id, status="deleting")
        vault.cast_backup("delete_backup", backup=row)
        vault.wait_status(row, "gone")


class TestDamage:
    def test_a_spoilt_object_ends_in_an_error_that_names_it(self, vault: Vault) -> None:
        backup = vault.made(vault.filled(26))
        [first] = (vault.store / backup.container).glob("*-00001")
        first.write_bytes(first.read_bytes()[:-1])
        target = vault.filled(27)
        position = vault.backup_service.position()
        vault.restore(backup, target)
        vault.wait_status(target, "error_restoring")
        vault.wait_status(backup, "available")
        vault.backup_service.wait_for_log(f"{first.name} is damaged", after=position)
        told = [m for m in vault.records.messages.list() if m.resource_uuid == backup.id]
        assert [m.event_id for m in told] == ["VOLUME_VOLUME_BACKUP_015_026"]


class TestInterruption:
    def test_deleting_it_ends_a_backup_under_way(self, slow_vault: Vault) -> None:
        vault = slow_vault
        volume = vault.filled(28)
        backup = vault.begin(volume)
        until(lambda: [*vault.store.rglob("*-00001")], 60, "the first object")
        vault.records.backups.update(backup.id, status="deleting")
        vault.cast_backup("delete_backup", backup=backup)
        vault.wait_status(backup, "gone")
        vault.wait_status(volume, "available")
        assert not [path for path in vault.store.rglob("*") if path.is_file()]

    def test_what_was_kept_goes_with_the_wish_alone(self, slow_vault: Vault) -> None:
        vault = slow_vault
        volume = vault.filled(53)
        backup = vault.begin(volume)
        until(lambda: [*vault.store.rglob("*-00001")], 60, "the first object")
        vault.records.backups.update(backup.id, status="deleting")
        vault.wait_status(volume, "available")
        assert not [path for path in vault.store.rglob("*") if path.is_file()]
        assert vault.status(backup) == "deleting"

    def test_another_status_ends_a_restore(self, slow_vault: Vault) -> None:
        vault = slow_vault
        backup = vault.made(vault.filled(29))
        target = vault.filled(30)
        vault.restore(backup, target)
        time.sleep(0.5)
        vault.records.backups.update(backup.id, status="available")
        vault.wait_status(target, "error")
        assert vault.status(backup) == "available"

    def test_a_stop_does_not_wait_for_it(self, slow_vault: Vault) -> None:
        vault = slow_vault
        volume = vault.filled(54)
        backup = vault.begin(volume)
        until(lambda: [*vault.store.rglob("*-00001")], 60, "the first object")
        began = time.monotonic()
        assert vault.backup_service.stop() == 0
        assert time.monotonic() - began < 5
        assert vault.status(backup) == "creating"
        vault.backup_service.start()
        vault.wait_status(backup, "available")
        vault.wait_status(volume, "available")

    def test_a_killed_backup_goes_on(self, slow_vault: Vault) -> None:
        vault = slow_vault
        volume = vault.filled(31)
        vault.scribble(volume, 55, places=32)  # more than is stored until the first note
        backup = vault.begin(volume)
        until(lambda: durable(vault, backup), 60, "some objects to be durable")
        vault.backup_service.kill()
        before = durable(vault, backup)
        vault.backup_service.start()
        row = vault.wait_status(backup, "available")
        vault.wait_status(volume, "available")
        assert row is not None and len(before) < row.object_count
        assert {path: identity(path) for path in before} == before
        target = vault.filled(32)
        vault.restore(backup, target)
        time.sleep(0.7)
        vault.backup_service.kill()
        vault.backup_service.start()
        vault.wait_status(target, "available")
        assert vault.same(volume, target)


def durable(vault: Vault, backup: Record) -> dict[Path, tuple[int, int]]:
    """Return the checkpoint of a running backup, and its files."""
    work = vault.backup_service.directory / "state" / "backup-work"
    notes = work / f"{backup.id}.notes"
    text = notes.read_text() if notes.exists() else ""
    names = set(re.findall(rf"volume_\S+_backup_{backup.id}-\d{{5}}", text))
    return {path: identity(path) for path in vault.store.rglob("*-?????") if path.name in names}


def identity(path: Path) -> tuple[int, int]:
    """Return the fields in which a rewritten file differs."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _revive(vault: Vault, backup_id: str, columns: dict) -> None:
    with vault.database.writer() as connection:
        connection.execute(
            sa.update(models.backups).where(models.backups.c.id == backup_id).values(**columns)
        )


class TestVolumesOfBackups:
    def test_one_is_made_and_filled(self, vault: Vault) -> None:
        backup = vault.made(vault.filled(33))
        origin = vault.records.volumes.get(backup.volume_id)
        volume = vault.volume()
        spec = {"backup_id": backup.id, "volume_properties": {"size": 1}}
        vault.cast("create_volume", volume=volume, request_spec=spec)
        row = vault.wait_status(volume, "available")
        vault.wait_status(backup, "available")
        assert vault.same(origin, volume)
        assert row is not None and row.launched_at is not None
        assert row.metadata == {"src_backup_id": backup.id}

    def test_one_that_is_too_small_fails(self, vault: Vault) -> None:
        backup = vault.made(vault.filled(34))
        vault.records.backups.update(backup.id, size=2)
        volume = vault.volume()
        spec = {"backup_id": backup.id, "volume_properties": {"size": 1}}
        vault.cast("create_volume", volume=volume, request_spec=spec)
        vault.wait_status(volume, "error")
        assert vault.status(backup) == "available"

    def test_without_a_service_it_fails_and_the_backup_is_as_before(
        self, slow_vault: Vault
    ) -> None:
        vault = slow_vault
        backup = vault.backup(vault.filled(35), "available", service=SERVICE)
        vault.backup_service.kill()
        vault.database.change(_DISABLE, {})
        volume = vault.volume()
        spec = {"backup_id": backup.id, "volume_properties": {"size": 1}}
        vault.cast("create_volume", volume=volume, request_spec=spec)
        vault.wait_status(volume, "error")
        assert vault.status(backup) == "available"


class TestLeftovers:
    def test_what_another_service_left_is_ended(self, slow_vault: Vault) -> None:
        vault = slow_vault
        made = vault.filled(36)
        read = vault.existing("backing-up", previous_status="in-use")
        target = vault.existing("restoring-backup")
        being_made = vault.backup(read, "creating", service=SERVICE)
        restored = vault.backup(made, "restoring", restore_volume_id=target.id, service=SERVICE)
        deleted = vault.backup(made, "deleting")
        lost = vault.backup(made, "creating")
        new, temporary = vault.existing("creating"), vault.existing("backing-up", use_quota=False)
        vault.backup(made, "restoring", restore_volume_id=new.id, service=SERVICE)
        vault.backup(made, "error", temp_volume_id=temporary.id, service=SERVICE)
        vault.backup_service.kill()
        vault.backup_service.module = "tests.functional.backups.short_grace"
        vault.backup_service.start()
        row = vault.wait_status(being_made, "error")
        assert row is not None and "left no journal" in row.fail_reason
        vault.wait_status(read, "in-use")
        vault.wait_status(restored, "available")
        vault.wait_status(target, "error_restoring")
        vault.wait_status(deleted, "gone")
        vault.wait_status(lost, "error")
        vault.wait_status(new, "error")
        vault.wait_status(temporary, "gone")
        assert not vault.path(temporary).exists()


class TestChangedExtents:
    def test_only_what_changed_since_the_snapshot_is_read(
        self, broker: Broker, tmp_path: Path
    ) -> None:
        make = ["mkfs.xfs", "-q", "-m", "reflink=1"]
        (tmp_path / "disk").mkdir()
        with loop_mount(make, tmp_path / "disk") as disk:
            options = {"local_path": str(disk / "volumes")}
            with running(broker, tmp_path, backend=options) as vault:
                vault.volumes_path = disk / "volumes"
                volume = vault.filled(37)
                chain = []
                for seed in (38, 39):
                    snapshot = snapshot_of(vault, volume)
                    vault.records.snapshots.update(snapshot.id, status="backing-up")
                    parent = chain[-1].id if chain else None
                    chain.append(vault.made(volume, snapshot_id=snapshot.id, parent_id=parent))
                    if not parent:
                        with open(vault.path(volume), "r+b") as file:
                            file.seek(seed * 2**20)
                            file.write(b"changed")
                            file.flush()
                text = vault.backup_service.text()
                [count] = re.findall(r"(\d+) bytes may have changed", text)
                assert 0 < int(count) <= 2**20
                target = vault.filled(40)
                vault.restore(chain[-1], target)
                vault.wait_status(target, "available")
                assert vault.same(volume, target)


_DISABLE = (
    sa.update(models.services)
    .where(models.services.c.binary == "cinder-backup")
    .values(disabled=True)
)
