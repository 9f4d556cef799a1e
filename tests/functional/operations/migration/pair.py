# SPDX-License-Identifier: Apache-2.0
"""Two backends of one host, and volumes on the way to another type or backend."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from tests.functional.cloud import NODE, POOL_HOST, REQUEST, Cloud, encoded
from tests.scripted.volume_driver import Script
from tests.servers import until
from worker.db import models

SECOND = "b2"
THERE = f"{NODE}@{SECOND}#pool"
LOCAL = {"initialize_connection": {"local": True}}
"""A plan in which volumes can be opened on this host."""


def host(name: str = THERE) -> dict[str, Any]:
    """Return a backend as the scheduler names it."""
    return {"host": name, "cluster_name": None, "capabilities": {"pool_name": "pool"}}


def second_backend(directory: Path, **sections: Any) -> dict[str, Any]:
    """Return the options of a second scripted backend."""
    options = {
        "volume_driver": "tests.scripted.volume_driver.ScriptedDriver",
        "volume_backend_name": SECOND,
        "script": str(directory / "second"),
        "backend_availability_zone": "far",
    }
    default = {"enabled_backends": f"b1,{SECOND}", "migration_create_volume_timeout_secs": 5}
    return {"DEFAULT": {**default, **sections.pop("DEFAULT", {})}, SECOND: options, **sections}


class Pair:
    """Two scripted backends."""

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self.cloud, self.second = cloud, Script(directory / "second")
        self.reset()

    def reset(self) -> None:
        """Let both succeed."""
        self.cloud.script.plan(**LOCAL)
        self.second.plan(**LOCAL)

    def wait_until_up(self) -> None:
        """Wait until both have reported."""
        until(lambda: len(self.cloud.records.services.list()) == 2, 60, "both backends")

    def starting(self, **columns: Any) -> Record:
        """Insert a volume as the API leaves one that is to be migrated, locked."""
        given = {"status": "maintenance", "previous_status": "available"}
        volume = self.cloud.existing(**{**given, "migration_status": "starting", **columns})
        self.cloud.script.path(volume.name).write_bytes(b"data of " + volume.name.encode())
        return volume

    def migrate(self, volume: Record, to: str = THERE, **args: Any) -> None:
        """Send the scheduler's cast."""
        self.cloud.cast("migrate_volume", "3.5", volume=volume, host=host(to), **args)

    def send_second(self, method: str, *, volume: Record, to: str) -> None:
        """Send a cast to the second backend."""
        target = {"topic": f"cinder-volume.{NODE}@{SECOND}", "server": NODE, "version": "3.5"}
        client = self.cloud.client("3.5").prepare(**target)
        client.cast(dict(REQUEST), method, **encoded({"volume": volume, "host": host(to)}))

    def settled(self, volume: Record, status: str = "available") -> Record:
        """Wait for the end of a migration and return the row."""
        ended = ("success", "error")
        self.wait(lambda: self.row(volume).migration_status in ended)
        row = self.cloud.wait_status(volume, status)
        self.cloud.wait_idle()
        assert row is not None
        return self.row(volume)

    def row(self, volume: Record) -> Record:
        """Return a volume's row as it is now."""
        return self.cloud.records.volumes.get(volume.id)

    def wait(self, condition: Any) -> None:
        """Wait for a condition."""
        until(condition, 60, "a migration")

    def copies(self, volume: Record) -> list[Any]:
        """Return the live rows of copies of a volume, whatever became of them."""
        table = models.volumes
        of = table.c.display_description == f"migration src for {volume.id}"
        target = table.c.migration_status == f"target:{volume.id}"
        wanted = sa.select(table).where(sa.or_(of, target), table.c.deleted == sa.false())
        return list(self.cloud.database.read(lambda c: c.execute(wanted).all()))

    def assert_moved(self, row: Record) -> None:
        """The data is on the second backend, and nothing is left of it on the first."""
        assert (row.host, row.migration_status) == (THERE, "success")
        data = self.second.path(row.name).read_bytes()
        assert data.rstrip(b"\0") == b"data of volume-" + row.id.encode()
        self.wait(lambda: f"volume-{row.id}" not in self.cloud.script.objects())
        self.assert_no_copy(row)

    def assert_stayed(self, row: Record) -> None:
        """The volume is unchanged and in its place, and no copy remains."""
        assert (row.host, row.migration_status) == (POOL_HOST, "error")
        assert f"volume-{row.id}" in self.cloud.script.objects()
        self.assert_no_copy(row)

    def assert_no_copy(self, row: Record) -> None:
        """Neither a row nor a connection is left of the copy."""
        self.wait(lambda: not self.copies(row))
        self.cloud.wait_idle()
        known = {volume.name for volume in self.cloud.records.volumes.list()}
        self.wait(lambda: self.second.objects() <= known)
        for script in (self.cloud.script, self.second):
            calls = [c["method"] for c in script.calls() if c["method"] in _CONNECTING]
            assert calls.count("create_export") <= calls.count("remove_export")


_CONNECTING = ("create_export", "remove_export")


def volume_type(cloud: Cloud, **specs: str) -> str:
    """Make a type with extra specs and return its id."""
    type_id = str(uuid.uuid4())

    def work(connection: sa.Connection) -> None:
        row = {"id": type_id, "name": f"type-{type_id[:8]}", "is_public": True, "deleted": False}
        connection.execute(sa.insert(models.volume_types), row)
        for key, value in specs.items():
            spec = {"volume_type_id": type_id, "key": key, "value": value, "deleted": False}
            connection.execute(sa.insert(models.volume_type_extra_specs), spec)

    cloud.database.write(work)
    return type_id


def set_reservation(cloud: Cloud, key: str, delta: int) -> None:
    """Change the reservations, as the API does for the former type of a volume."""
    table = models.reservations
    update = sa.update(table).where(table.c.uuid == key).values(delta=delta)
    cloud.database.write(lambda c: c.execute(update))
