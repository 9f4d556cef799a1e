# SPDX-License-Identifier: Apache-2.0
"""Retypes between types that are encrypted in other ways: keys, data, and refusals.

The bytes are in tests/functional/keys/test_clones.py, kills in tests/unit/flows/every_cast.
"""

from __future__ import annotations

from typing import Any

import pytest
from oslo_utils import units

from drivers.encryption.luks_format import LuksFormat
from drivers.interface.errors import VolumeBackendAPIException
from flows.errors import KeyManagerError, VolumeMigrationFailed
from flows.volume import delete
from flows.volume.migration import retype
from flows.volume.migration.copy_key import MakeCopyKey
from tests.unit.flows.every_cast.encrypted import LUKS, SECRET, arrange_retype, assert_exact, data
from tests.unit.flows.world import migrations
from tests.unit.flows.world.world import World

LUKS2 = {**LUKS, "provider": "luks2"}


def run(world: World) -> Any:
    return world.run(retype.flow, **migrations.RETYPE)


def key_of(world: World) -> Any:
    return world.volume()["encryption_key_id"]


def assert_failed(world: World, outcome: Any, former: Any, error: type[Exception]) -> None:
    assert outcome.failure is not None and outcome.failure.check(error)
    row = world.volume()
    assert (row["status"], row["migration_status"]) == ("available", "error")
    assert (row["volume_type_id"], row["encryption_key_id"]) == ("t1", former)
    assert not world.driver.exports and world.driver.objects == {"volume-v1"}
    assert_exact(world)


@pytest.mark.parametrize(
    ("old", "new", "version"),
    [
        pytest.param(None, LUKS, 1, id="plain to luks"),
        pytest.param(LUKS, LUKS2, 2, id="luks to luks2"),
        pytest.param(LUKS, {**LUKS, "provider": "LuksEncryptor"}, 1, id="another name"),
    ],
)
def test_a_retype_to_an_encrypted_type_has_a_new_key(
    world: World, old: Any, new: Any, version: int
) -> None:
    keys = arrange_retype(world, old, new)
    former = key_of(world)
    outcome = run(world)

    assert outcome.failure is None, outcome.failure.exception_str
    assert world.volume()["volume_type_id"] == "t2" and key_of(world) not in (None, former)
    passphrase = keys.keys[key_of(world)].hex().encode()
    wanted = LuksFormat(version, "aes-xts-plain64", 256)
    assert world.images.encrypted_volumes == [(wanted, passphrase)]
    assert world.images.decrypted_volumes == ([SECRET.hex().encode()] if old else [])
    assert_exact(world)


def test_a_retype_to_a_plain_type_has_none(world: World) -> None:
    keys = arrange_retype(world, LUKS, None)
    former = key_of(world)
    outcome = run(world)

    assert outcome.failure is None, outcome.failure.exception_str
    assert key_of(world) is None and former not in keys.keys
    assert world.images.encrypted_volumes == []
    assert_exact(world)


def test_a_volume_that_was_never_attached_has_no_data(world: World) -> None:
    arrange_retype(world, LUKS, LUKS2)
    data(world, "v1").write_bytes(b"")
    outcome = run(world)

    assert outcome.failure is None, outcome.failure.exception_str
    assert world.images.decrypted_volumes == [] and len(world.images.encrypted_volumes) == 1


def test_data_that_is_not_encrypted_although_there_is_a_key(world: World) -> None:
    arrange_retype(world, LUKS, LUKS2)
    former = key_of(world)
    data(world, "v1").write_bytes(b"plain text of a user")
    outcome = run(world)

    assert "neither a header of LUKS nor zeros" in outcome.failure.exception_str
    assert_failed(world, outcome, former, VolumeMigrationFailed)


@pytest.mark.parametrize(("at", "fits"), [(units.Gi - 1, False), (units.Gi - 3 * units.Mi, True)])
def test_the_end_of_the_data_where_the_header_needs_room(world: World, at: int, fits: bool) -> None:
    arrange_retype(world, None, LUKS)
    with data(world, "v1").open("r+b") as file:
        file.seek(at)
        file.write(b"x")
    outcome = run(world)

    if fits:
        assert outcome.failure is None and key_of(world) is not None
        return
    assert f"its last {2 * units.Mi} bytes" in outcome.failure.exception_str
    assert_failed(world, outcome, None, VolumeMigrationFailed)


def test_a_volume_that_is_longer_than_its_size_is_data_to_its_end(world: World) -> None:
    arrange_retype(world, LUKS, None)
    former = key_of(world)
    with data(world, "v1").open("r+b") as file:
        file.seek(units.Gi + 2 * units.Mi - 1)
        file.write(b"x")
    connected = world.driver.plan.pop("initialize_connection")
    world.driver.plan["initialize_connection"] = lambda volume, **more: (
        connected(volume, **more)
        if volume.id != "v1"
        else {
            "driver_volume_type": "local",
            "data": {"device_path": str(data(world, "v1"))},
        }
    )
    outcome = run(world)

    assert f"its last {2 * units.Mi} bytes" in outcome.failure.exception_str
    assert_failed(world, outcome, former, VolumeMigrationFailed)


def test_a_copy_without_a_key_is_not_written_plain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrange_retype(world, None, LUKS)
    monkeypatch.setattr(MakeCopyKey, "execute", lambda *_, **__: None)
    outcome = run(world)

    assert "is to be encrypted, and has no key" in outcome.failure.exception_str
    assert_failed(world, outcome, None, VolumeMigrationFailed)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        pytest.param(None, {**LUKS, "provider": "plain"}, "'plain'", id="to plain dm-crypt"),
        pytest.param({**LUKS, "provider": "plain"}, None, "'plain'", id="from it"),
        pytest.param(None, {**LUKS, "cipher": None}, "cipher None", id="no cipher"),
    ],
)
def test_data_that_cannot_be_written_here_is_refused_before_a_key_is_made(
    world: World, old: Any, new: Any, reason: str
) -> None:
    arrange_retype(world, old, new)
    former = key_of(world)
    outcome = run(world)

    assert reason in outcome.failure.exception_str
    assert [name for name in world.effects if name.startswith("keys.")] == []
    assert_failed(world, outcome, former, VolumeMigrationFailed)


def test_a_type_that_the_storage_encrypts_needs_a_key_too(world: World) -> None:
    arrange_retype(world, None, {**LUKS, "control_location": "back-end"})
    outcome = run(world)

    assert outcome.failure is None, outcome.failure.exception_str
    assert key_of(world) is not None and world.images.encrypted_volumes == []
    assert_exact(world)


def test_a_key_manager_that_makes_no_key(world: World) -> None:
    keys = arrange_retype(world, None, LUKS)
    keys.fails["create_key"] = KeyManagerError("away")
    outcome = run(world)

    assert_failed(world, outcome, None, KeyManagerError)


def test_a_copy_that_is_not_created_leaves_no_key(world: World) -> None:
    arrange_retype(world, None, LUKS)
    world.elsewhere.plan["create"] = "error"
    outcome = run(world)

    assert outcome.failure.check(VolumeMigrationFailed)
    assert key_of(world) is None
    assert_exact(world)


def test_a_copy_that_fails_leaves_no_key(world: World) -> None:
    arrange_retype(world, None, LUKS)
    world.images.plan["encrypted"] = VolumeBackendAPIException("cryptsetup is not installed")
    outcome = run(world)

    assert_failed(world, outcome, None, VolumeBackendAPIException)


DELETE = {"volume_id": "v1", "unmanage_only": False, "cascade": False}


@pytest.mark.parametrize("migration_status", ["deleting", "target:v0"])
def test_the_deletion_of_a_copy_deletes_its_key(world: World, migration_status: str) -> None:
    keys = arrange_retype(world, LUKS, LUKS2)
    former = key_of(world)
    world.volume().update(status="deleting", migration_status=migration_status)
    world.run(delete.flow, **DELETE)

    assert world.volume()["deleted"] and keys.deletions == {former: 1}


def test_the_deletion_of_a_copy_with_the_key_of_its_volume(world: World) -> None:
    keys = arrange_retype(world, LUKS, LUKS2)
    world.add_volume("v0", encryption_key_id=key_of(world))
    world.volume().update(status="deleting", migration_status="deleting")
    world.run(delete.flow, **DELETE)

    assert world.volume()["deleted"] and not keys.deletions


def test_a_copy_whose_data_cannot_be_deleted_leaves_no_key(world: World) -> None:
    keys = arrange_retype(world, LUKS, LUKS2)
    former = key_of(world)
    world.driver.plan["delete_volume"] = VolumeBackendAPIException("away")
    world.volume().update(status="deleting", migration_status="target:v0")
    world.run(delete.flow, **DELETE)

    assert world.volume()["deleted"] and keys.deletions == {former: 1}


@pytest.mark.parametrize("shared", [True, False])
def test_a_former_volume_that_stays_does_not_name_the_key_of_another(
    world: World, shared: bool
) -> None:
    keys = arrange_retype(world, LUKS, LUKS2)
    former = key_of(world)
    if shared:
        world.add_volume("v0", encryption_key_id=former)
    world.driver.plan["delete_volume"] = VolumeBackendAPIException("away")
    world.volume().update(status="deleting", migration_status="deleting")
    world.run(delete.flow, **DELETE)

    assert world.volume()["status"] == "error_deleting" and not keys.deletions
    assert key_of(world) == (None if shared else former)


def test_the_deletion_of_any_other_volume_leaves_keys_to_the_api(world: World) -> None:
    keys = arrange_retype(world, LUKS, LUKS2)
    world.volume().update(status="deleting", migration_status=None)
    world.run(delete.flow, **DELETE)

    assert world.volume()["deleted"] and not keys.deletions
