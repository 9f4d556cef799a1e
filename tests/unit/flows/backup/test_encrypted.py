# SPDX-License-Identifier: Apache-2.0
"""Keys of backups and of the volumes that they are restored to (spec/encryption §6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.errors import KeyManagerError
from flows.volume.data import open_on_host
from tests.unit.flows.backup.encrypted_world import OTHER_TYPE, EncryptedWorld, opened

ASKED = "volume_service.get_backup_device"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncryptedWorld:
    monkeypatch.setattr(open_on_host, "opened", opened)
    return EncryptedWorld(tmp_path)


def creating(world: EncryptedWorld, **columns: Any) -> tuple[str, str]:
    """Return a volume and its backup that the API has asked for."""
    volume = world.encrypted_volume("backing-up", previous_status="available")
    return volume, world.backup("creating", volume_id=volume, user_id="u", service=None, **columns)


def restoring(world: EncryptedWorld, **columns: Any) -> tuple[str, str]:
    """Return a backup of another volume, and a volume with a key of its own to restore it to."""
    backup = world.kept(world.encrypted_volume())
    volume = world.encrypted_volume(**columns)
    world.begin_restore(backup, volume)
    return backup, volume


def status(world: EncryptedWorld, backup: str) -> str:
    found = world.records.backups.find(backup)
    assert found is not None
    return str(found.status)


class TestCreate:
    def test_a_backup_has_a_clone_of_the_volumes_key(self, world: EncryptedWorld) -> None:
        volume, backup = creating(world)

        world.create(backup)

        own = world.records.backups.get(backup).encryption_key_id
        assert own not in (None, world.key_of(volume))
        assert world.keys.keys[own] == world.bytes_of(volume)
        assert world.keys.owners[own] == backup
        assert ASKED in world.effects
        world.assert_exact()

    def test_a_backup_with_a_key_keeps_it(self, world: EncryptedWorld) -> None:
        own = world.keys.add(b"own")
        _volume, backup = creating(world, encryption_key_id=own)

        world.create(backup)

        assert world.records.backups.get(backup).encryption_key_id == own
        world.assert_exact()

    def test_a_plain_volume_needs_no_key_manager(self, world: EncryptedWorld) -> None:
        world.keys.fails = dict.fromkeys(("clone", "passphrase"), KeyManagerError("away"))
        volume = world.encrypted_volume("backing-up", encryption_key_id=None)
        backup = world.backup("creating", volume_id=volume)

        world.create(backup)

        assert ASKED in world.effects

    def test_a_key_manager_that_fails(self, world: EncryptedWorld) -> None:
        world.keys.fails["clone"] = KeyManagerError("away for long")
        volume, backup = creating(world)

        world.create(backup)

        assert status(world, backup) == "error"
        assert "away for long" in world.records.backups.get(backup).fail_reason
        assert world.status(volume) == "available"
        assert world.told() == ["013_001"]
        assert ASKED not in world.effects
        world.assert_exact()


class TestRestore:
    def test_the_volume_gets_a_clone_and_its_former_key_goes(self, world: EncryptedWorld) -> None:
        backup, volume = restoring(world)
        former = world.key_of(volume)

        world.bring(backup, volume)

        own = world.records.backups.get(backup).encryption_key_id
        assert world.key_of(volume) not in (former, own)
        assert world.bytes_of(volume) == world.keys.keys[own]
        assert world.keys.deletions == {former: 1}
        assert (world.status(volume), status(world, backup)) == ("available", "available")
        world.assert_exact()

    def test_a_volume_whose_key_opens_the_data_keeps_it(self, world: EncryptedWorld) -> None:
        volume = world.encrypted_volume()
        backup = world.kept(volume)
        world.begin_restore(backup, volume)
        before = world.key_of(volume)

        world.bring(backup, volume)

        assert world.key_of(volume) == before
        assert not world.keys.deletions
        world.assert_exact()

    def test_metadata_of_version_1_exchanges_the_key_all_the_same(
        self, world: EncryptedWorld
    ) -> None:
        world.version = 1
        backup, volume = restoring(world)

        world.bring(backup, volume)

        own = world.records.backups.get(backup).encryption_key_id
        assert world.bytes_of(volume) == world.keys.keys[own]
        world.assert_exact()

    def test_a_backup_whose_key_is_in_its_metadata_only(self, world: EncryptedWorld) -> None:
        source = world.encrypted_volume()
        backup = world.kept(source, encryption_key_id=None)
        del world.keys.keys[max(world.keys.keys)]  # the clone that no row has
        volume = world.encrypted_volume()
        world.begin_restore(backup, volume)

        world.bring(backup, volume)

        assert world.bytes_of(volume) == world.bytes_of(source)
        assert world.key_of(volume) != world.key_of(source)

    def test_plain_data_takes_the_key_away(
        self, world: EncryptedWorld, caplog: pytest.LogCaptureFixture
    ) -> None:
        backup = world.kept(world.encrypted_volume(encryption_key_id=None))
        volume = world.encrypted_volume()
        world.begin_restore(backup, volume)

        world.bring(backup, volume)

        assert world.key_of(volume) is None
        assert world.status(volume) == "available"
        assert f"volume {volume} has plain data now" in caplog.text
        world.assert_exact()

    def test_a_former_key_that_snapshots_need_stays(self, world: EncryptedWorld) -> None:
        backup, volume = restoring(world)
        former = world.key_of(volume)
        world.snapshot(volume, "available", encryption_key_id=former)

        world.bring(backup, volume)

        assert world.key_of(volume) != former
        assert former in world.keys.keys
        world.assert_exact()

    def test_a_former_key_that_cannot_be_deleted_is_named(
        self, world: EncryptedWorld, caplog: pytest.LogCaptureFixture
    ) -> None:
        backup, volume = restoring(world)
        former = world.key_of(volume)
        world.keys.fails["delete"] = KeyManagerError("forbidden")

        world.bring(backup, volume)

        assert world.status(volume) == "available"
        assert f"key {former}, which volume {volume} had" in caplog.text

    def test_another_type_is_refused_before_a_byte(self, world: EncryptedWorld) -> None:
        backup, volume = restoring(world, volume_type_id=OTHER_TYPE)
        before = world.key_of(volume)

        world.bring(backup, volume)

        assert world.written == []
        assert world.key_of(volume) == before
        assert (world.status(volume), status(world, backup)) == ("error_restoring", "available")
        assert world.told() == ["015_026"]
        world.assert_exact()

    @pytest.mark.parametrize("new", [False, True])
    def test_a_key_that_is_gone_ends_the_restore_before_a_byte(
        self, world: EncryptedWorld, new: bool
    ) -> None:
        backup, volume = restoring(world)
        if new:
            world.records.volumes.update(volume, status="creating")
        before = world.key_of(volume)
        own = world.records.backups.get(backup).encryption_key_id
        del world.keys.keys[own]

        world.bring(backup, volume)

        assert world.written == []
        assert world.key_of(volume) == before
        assert world.status(volume) == ("error" if new else "error_restoring")
        assert status(world, backup) == "available"
        assert world.told() == ["015_026"]
        assert set(world.keys.keys) == world.named() - {own}

    def test_a_store_that_fails_leaves_the_volumes_own_key(self, world: EncryptedWorld) -> None:
        backup, volume = restoring(world)
        before = world.key_of(volume)
        world.store_fails = True

        world.bring(backup, volume)

        assert world.key_of(volume) == before
        assert world.status(volume) == "error_restoring"
        world.assert_exact()


class TestDelete:
    def deleting(self, world: EncryptedWorld) -> str:
        backup = world.kept(world.encrypted_volume())
        world.records.backups.update(backup, status="deleting")
        return backup

    def test_the_key_goes_once(self, world: EncryptedWorld) -> None:
        backup = self.deleting(world)
        own = world.records.backups.get(backup).encryption_key_id

        world.delete(backup)

        row = world.records.backups.find(backup)
        assert row is not None and row.deleted and row.encryption_key_id is None
        assert world.keys.deletions == {own: 1}
        world.assert_exact()

    def test_a_key_that_is_gone_is_no_error(self, world: EncryptedWorld) -> None:
        backup = self.deleting(world)
        del world.keys.keys[world.records.backups.get(backup).encryption_key_id]

        world.delete(backup)

        assert status(world, backup) == "deleted"

    def test_a_key_manager_that_fails(self, world: EncryptedWorld) -> None:
        world.keys.fails["delete"] = KeyManagerError("no account")
        backup = self.deleting(world)

        world.delete(backup)

        assert status(world, backup) == "error_deleting"
        assert "no account" in world.records.backups.get(backup).fail_reason
        assert world.told() == ["014_025"]
        world.keys.fails.clear()
        world.forget()
        world.records.backups.update(backup, status="deleting")
        world.delete(backup)
        assert status(world, backup) == "deleted"
        world.assert_exact()

    def test_a_key_that_another_row_has_stays(self, world: EncryptedWorld) -> None:
        backup = self.deleting(world)
        own = world.records.backups.get(backup).encryption_key_id
        other = world.backup("available", encryption_key_id=own)

        world.delete(backup)

        assert status(world, backup) == "deleted"
        assert own in world.keys.keys
        assert world.records.backups.get(other).encryption_key_id == own


Operation = Callable[[EncryptedWorld], Callable[[], Any]]


def _create(world: EncryptedWorld) -> Callable[[], Any]:
    _volume, backup = creating(world)
    return lambda: world.create(backup)


def _restore(world: EncryptedWorld) -> Callable[[], Any]:
    backup, volume = restoring(world)
    return lambda: world.bring(backup, volume)


def _failing_restore(world: EncryptedWorld) -> Callable[[], Any]:
    backup, volume = restoring(world)
    world.store_fails = True
    return lambda: world.bring(backup, volume)


def _delete(world: EncryptedWorld) -> Callable[[], Any]:
    backup = world.kept(world.encrypted_volume())
    world.records.backups.update(backup, status="deleting")
    return lambda: world.delete(backup)


def _states(world: EncryptedWorld) -> list[tuple[str, str, bool]]:
    """Return the statuses of rows, and whether they have keys."""
    volumes = [(one.id, one.status, one.encryption_key_id) for one in world.records.volumes.list()]
    backups = [(one.id, one.status, one.encryption_key_id) for one in world.records.backups.list()]
    return [(row, found, key is not None) for row, found, key in (*volumes, *backups)]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", [_create, _restore, _failing_restore, _delete])
def test_a_kill_at_each_effect_loses_no_key_and_leaves_none(
    operation: Operation, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_on_host, "opened", opened)
    quiet = EncryptedWorld(_directory(tmp_path, "quiet"))
    operation(quiet)()
    wanted, effects = _states(quiet), len(quiet.effects)
    assert any(name.startswith("keys.") for name in quiet.effects)

    for number in range(effects):
        world = EncryptedWorld(_directory(tmp_path, f"{number}"))
        run = operation(world)
        world.blow = (number, moment)
        run()
        for _ in range(3):
            if world.blow is None:
                run()
        assert world.blow is None, quiet.effects[number]
        assert _states(world) == wanted, quiet.effects[number]
        world.assert_exact()
        for data in world.keys.keys.values():
            assert data.hex() not in world.shown()


def _directory(root: Path, name: str) -> Path:
    made = root / name
    made.mkdir()
    return made
