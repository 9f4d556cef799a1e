# SPDX-License-Identifier: Apache-2.0
"""Clones of encrypted volumes get keys of their own (spec/encryption §7).

Kills at each effect are in tests/unit/flows/every_cast.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException
from flows.errors import AttachFailed, KeyManagerError
from flows.volume.encryption import clone
from tests.unit.flows.backup.key_ledger import KeyLedger
from tests.unit.flows.every_cast.encrypted import LUKS, SECRET, arrange, assert_exact, data
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World

RETRY = {"retry": {"num_attempts": 1, "hosts": []}}
ARGS = {"volume_id": "v1", "request_spec": {"volume_id": "v1"}, "filter_properties": RETRY}
ASKED = {**ARGS, "allow_reschedule": True}
ELSEWHERE = {"driver_volume_type": "no-such-protocol", "data": {}}


def key_of(world: World, volume_id: str = "v1") -> str:
    return str(world.volume(volume_id)["encryption_key_id"])


def calls(world: World, kind: str) -> list[str]:
    return [name for name in world.effects if name.startswith(f"{kind}.")]


def assert_unchanged(world: World, keys: KeyLedger, former: str) -> None:
    """It is available with the passphrase of its source, and no other key is left."""
    assert world.volume()["status"] == "available" and key_of(world) == former
    assert keys.keys[former] == SECRET
    assert_exact(world)


def assert_rescheduled(world: World, former: str) -> None:
    """The scheduler has it, with the key that the API made, and nothing of it is here."""
    (call,) = world.scheduler.calls
    assert call[0] == "create_volume" and world.volume()["host"] is None
    assert key_of(world) == former and "volume-v1" not in world.driver.objects
    assert_exact(world)


@pytest.mark.parametrize("provider", ["luks", "luks2", "os_brick.encryptors.luks.LuksEncryptor"])
def test_a_clone_opens_with_its_own_key_alone(world: World, provider: str) -> None:
    keys = arrange(world, {**LUKS, "provider": provider})
    former, of_source = key_of(world), key_of(world, "v0")
    outcome = world.run(clone.flow, **ASKED)

    assert outcome.failure is None, outcome.failure.exception_str
    assert key_of(world) not in (former, of_source)
    assert data(world, "v1").read_text() == f"luks {keys.keys[key_of(world)].hex()}"
    assert keys.owners[key_of(world)] == "v1" and keys.deletions == {former: 1}
    assert len(keys.keys[key_of(world)]) == LUKS["key_size"] // 8
    assert_exact(world)
    for secret in keys.keys.values():
        assert secret.hex() not in json.dumps(world.journal.texts)


def test_keys_are_made_before_and_deleted_after_everything_else(world: World) -> None:
    arrange(world)
    world.run(clone.flow, **ASKED)

    names = [n for n in world.effects if not n.startswith(("workers.", "notifier."))]
    assert names.index("keys.create_key") < names.index("driver.create_cloned_volume")
    assert names.index("images.change_passphrase") < names.index("keys.delete")
    assert names[-1] == "keys.delete"


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({**LUKS, "provider": "plain"}, id="plain"),
        pytest.param({**LUKS, "provider": "os_brick.encryptors.nop.NoopEncryptor"}, id="no-op"),
        pytest.param({**LUKS, "control_location": "back-end"}, id="by the storage"),
        pytest.param({**LUKS, "cipher": None}, id="no cipher"),
        pytest.param({**LUKS, "key_size": None}, id="no length"),
    ],
)
def test_without_a_header_no_key_is_made(world: World, row: dict[str, Any]) -> None:
    keys = arrange(world, row)
    former = key_of(world)
    world.run(clone.flow, **ASKED)

    assert calls(world, "keys") == []
    assert_unchanged(world, keys, former)


def test_a_type_that_is_not_encrypted(world: World) -> None:
    keys = arrange(world)
    del world.db.types["t1"]["encryption"]
    former = key_of(world)
    world.run(clone.flow, **ASKED)

    assert calls(world, "keys") == []
    assert_unchanged(world, keys, former)


def test_a_clone_that_cannot_be_opened_keeps_the_passphrase(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    keys = arrange(world)
    former = key_of(world)
    world.driver.plan["initialize_connection"] = ELSEWHERE
    world.run(clone.flow, **ASKED)

    assert_unchanged(world, keys, former)
    assert "volume v1 keeps the passphrase of its source" in caplog.text
    assert "no-such-protocol" in caplog.text and not world.driver.exports


def test_a_clone_that_is_no_raw_disk_keeps_the_passphrase(world: World) -> None:
    keys = arrange(world)
    former = key_of(world)
    world.images.is_raw = False
    world.run(clone.flow, **ASKED)

    assert_unchanged(world, keys, former)


def test_a_passphrase_that_may_be_replaced_already_is_not_kept(world: World) -> None:
    arrange(world)
    former = key_of(world)
    world.strike_at(_number(world, "images.change_passphrase"), "after")
    with pytest.raises(Killed):
        world.run(clone.flow, **ASKED)
    world.revive()
    world.driver.plan["initialize_connection"] = ELSEWHERE
    outcome = world.run(clone.flow, resumed=True, **ASKED)

    assert outcome.failure is not None and outcome.failure.check(AttachFailed)
    assert_rescheduled(world, former)


def test_a_key_manager_that_makes_no_key(world: World) -> None:
    keys = arrange(world)
    former = key_of(world)
    keys.fails["create_key"] = KeyManagerError("away")
    world.run(clone.flow, **ASKED)

    assert world.driver.called("create_cloned_volume") == []
    assert_rescheduled(world, former)


@pytest.mark.parametrize("call", ["keys", "images", "driver"])
def test_a_change_that_fails_leaves_nothing(world: World, call: str) -> None:
    keys = arrange(world)
    former = key_of(world)
    error = VolumeBackendAPIException("the key does not open the header of the volume")
    plans: dict[str, Callable[[], None]] = {
        "keys": lambda: keys.fails.update(passphrase=KeyManagerError("away")),
        "images": lambda: world.images.plan.update(change_passphrase=error),
        "driver": lambda: world.driver.plan.update(initialize_connection=error),
    }
    plans[call]()
    world.run(clone.flow, **ASKED)

    assert_rescheduled(world, former)
    assert not world.driver.exports and not world.images.aside


def test_without_another_backend_it_ends_in_error(world: World) -> None:
    arrange(world)
    former = key_of(world)
    world.images.plan["change_passphrase"] = VolumeBackendAPIException("no header")
    world.run(clone.flow, **{**ASKED, "allow_reschedule": False})

    assert world.volume()["status"] == "error" and key_of(world) == former
    assert_exact(world)


def test_a_key_that_another_row_has_is_not_deleted(world: World) -> None:
    keys = arrange(world)
    keys.keys.pop(key_of(world))
    shared = key_of(world, "v0")
    world.db.volumes.rows["v1"]["encryption_key_id"] = shared
    world.run(clone.flow, **ASKED)

    assert key_of(world) != shared and shared in keys.keys and not keys.deletions
    assert_exact(world)


def test_a_key_that_cannot_be_deleted_is_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    keys = arrange(world)
    former = key_of(world)
    keys.fails["delete"] = KeyManagerError("forbidden")
    outcome = world.run(clone.flow, **ASKED)

    assert outcome.failure is None and world.volume()["status"] == "available"
    assert key_of(world) != former and f"key {former} of volume v1" in caplog.text


def test_a_key_manager_with_one_key_for_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = arrange(world)
    former = key_of(world)
    monkeypatch.setattr(keys, "create_key", lambda *_: former)
    world.run(clone.flow, **ASKED)

    assert calls(world, "images") == [] and not keys.deletions
    assert_unchanged(world, keys, former)


def test_a_volume_whose_row_goes_meanwhile_leaves_no_key(world: World) -> None:
    keys = arrange(world)
    former, info = key_of(world), {"device_path": str(data(world, "v1"))}

    def connected(**_: Any) -> dict[str, Any]:
        if not world.volume()["deleted"]:  # the API deletes the key, and then the row
            keys.keys.pop(former)
            world.db.volumes.rows["v1"]["deleted"] = True
        return {"driver_volume_type": "local", "data": info}

    world.driver.plan["initialize_connection"] = connected
    world.run(clone.flow, **ASKED)

    assert "volume-v1" not in world.driver.objects
    assert set(keys.keys) == {key_of(world, "v0")}


@pytest.mark.parametrize("effect", ["keys.create_key", "images.change_passphrase"])
def test_a_row_that_goes_while_the_service_is_down_leaves_no_key(world: World, effect: str) -> None:
    keys = arrange(world)
    former = key_of(world)
    world.strike_at(_number(world, effect), "after")
    with pytest.raises(Killed):
        world.run(clone.flow, **ASKED)
    world.revive()
    keys.keys.pop(former)
    world.db.volumes.rows["v1"]["deleted"] = True
    world.run(clone.flow, resumed=True, **ASKED)

    assert set(keys.keys) == {key_of(world, "v0")}


def _number(world: World, name: str) -> int:
    """Return the number of an effect, by a run of another world."""
    other = World(world.driver.directory)
    arrange(other)
    other.run(clone.flow, **ASKED)
    return other.effects.index(name)
