# SPDX-License-Identifier: Apache-2.0
"""Encrypted volumes whose data says which passphrase opens it, and the ledger of their keys."""

from __future__ import annotations

from typing import Any

from oslo_utils import units

from tests.unit.flows.backup.key_ledger import KeyLedger
from tests.unit.flows.world.doubles import Watched
from tests.unit.flows.world.world import World

LUKS = {
    "provider": "luks",
    "control_location": "front-end",
    "cipher": "aes-xts-plain64",
    "key_size": 256,
}
BY_STORAGE = {**LUKS, "control_location": "back-end"}
BY_STORAGE_512 = {**BY_STORAGE, "key_size": 512}
"""The keys of such types are as those of LUKS, and their data need not be long."""
SECRET = b"the key of the source"


class Rows:
    """The rows that name keys, in place of those of backups."""

    def __init__(self, world: World) -> None:
        self._world = world

    def naming_key(self, key_id: str) -> list[str]:
        """Return the live rows with a key."""
        db = self._world.db
        rows = [("volume", row) for row in db.volumes.of(encryption_key_id=key_id)]
        rows += [("snapshot", row) for row in db.snapshots.of(encryption_key_id=key_id)]
        return [f"{kind} {row['id']}" for kind, row in rows]


def arrange(world: World, row: dict[str, Any] | None = None) -> KeyLedger:
    """Add a source and the row of its clone, each with a key that the API has made.

    :param row: how their type encrypts.
    """
    ledger = KeyLedger()
    world.keys, world.backups = Watched(ledger, "keys", world), Rows(world)
    world.db.types["t1"] = {"name": "secret", "extra_specs": {}, "encryption": row or LUKS}
    world.add_volume("v0", encryption_key_id=ledger.add(SECRET))
    of_clone = {"source_volid": "v0", "encryption_key_id": ledger.add(SECRET)}
    world.add_volume(status="creating", made=False, **of_clone)

    def cloned(volume: Any, **_: Any) -> dict[str, Any]:
        data(world, volume.id).write_bytes(b"luks " + SECRET.hex().encode())
        return {}

    for method in ("create_cloned_volume", "create_volume_from_snapshot"):
        world.driver.plan[method] = cloned
    return ledger


def arrange_retype(
    world: World, old: dict[str, Any] | None, new: dict[str, Any] | None
) -> KeyLedger:
    """Add a volume that is to be retyped on its backend, between types that encrypt so."""
    ledger = KeyLedger()
    world.keys, world.backups = Watched(ledger, "keys", world), Rows(world)
    world.elsewhere.keys = ledger
    for name, row in (("t1", old), ("t2", new)):
        known = {"encryption": row} if row else {}
        world.db.types[name] = {"name": name, "extra_specs": {}, **known}
    key = ledger.add(SECRET) if old else None
    columns = {"status": "retyping", "previous_status": "available", "encryption_key_id": key}
    world.add_volume(**columns)
    for path in world.driver.directory.glob("volume-*"):
        path.unlink()
    data(world, "v1").write_bytes(b"LUKS\xba\xbe" if old else b"text")

    def connected(volume: Any, **_: Any) -> dict[str, Any]:
        path = world.driver.directory / volume.name
        with path.open("ab") as file:
            file.truncate(units.Gi)
        return {"driver_volume_type": "local", "data": {"device_path": str(path)}}

    if "front-end" in str((old, new)):
        world.driver.plan["initialize_connection"] = connected
    return ledger


def data(world: World, volume_id: str) -> Any:
    """Return the path of a volume's data."""
    return world.driver.directory / f"volume-{volume_id}"


def ledger_of(world: World) -> KeyLedger:
    found: KeyLedger = world.keys._target
    return found


def assert_exact(world: World) -> None:
    """Each key is named by a row, each named key is there and opens its volume."""
    if not isinstance(world.keys, Watched):
        return
    keys = ledger_of(world)
    rows = [*world.db.volumes.of(), *world.db.snapshots.of()]
    named = {row["encryption_key_id"] for row in rows} - {None}
    assert set(keys.keys) == named, (keys.keys.keys(), named)
    assert all(count <= 1 for count in keys.deletions.values())
    clone = world.volume("v1")
    if clone["deleted"] or clone["source_volid"] is None:
        return
    key = keys.keys[clone["encryption_key_id"]]
    if clone["status"] == "available":
        assert data(world, "v1").read_text() == f"luks {key.hex()}"
    else:  # another attempt makes it of the source again
        assert key == SECRET
