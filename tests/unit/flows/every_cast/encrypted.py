# SPDX-License-Identifier: Apache-2.0
"""Encrypted volumes whose data says which passphrase opens it, and the ledger of their keys."""

from __future__ import annotations

from typing import Any

from tests.unit.flows.backup.key_ledger import KeyLedger
from tests.unit.flows.world.doubles import Watched
from tests.unit.flows.world.world import World

LUKS = {
    "provider": "luks",
    "control_location": "front-end",
    "cipher": "aes-xts-plain64",
    "key_size": 256,
}
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
    if clone["deleted"]:
        return
    key = keys.keys[clone["encryption_key_id"]]
    if clone["status"] == "available":
        assert data(world, "v1").read_text() == f"luks {key.hex()}"
    else:  # another attempt makes it of the source again
        assert key == SECRET
