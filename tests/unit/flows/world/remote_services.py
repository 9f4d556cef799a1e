# SPDX-License-Identifier: Apache-2.0
"""The services of other backends, which act at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivers.interface.records import Record
from flows.errors import ServiceRefused
from tests.unit.flows.world.backend import RecordingDriver
from tests.unit.flows.world.rows import Database

HOST = "node@elsewhere#pool"
ROOM = 64 * 1024
"""Length of a volume there, in bytes."""


class Elsewhere:
    """Another backend with its objects, and our own as it is asked over the bus.

    ``plan`` maps a method to an exception, or ``create`` to the status of the created volume.

    :param directory: where the volumes lie.
    """

    def __init__(self, db: Database, ours: RecordingDriver, directory: Path) -> None:
        self._db, self._ours, self._directory = db, ours, directory
        self.objects: set[str] = set()
        self.exports: set[str] = set()
        self.plan: dict[str, Any] = {}
        self.calls: list[str] = []
        self.keys: Any = None

    def path(self, volume: Mapping[str, Any]) -> Path:
        name = volume["_name_id"] or volume["id"]
        return self._directory / f"elsewhere-{name}"

    def add(self, volume: Mapping[str, Any]) -> None:
        """Put a volume's object there."""
        self.objects.add(f"volume-{volume['_name_id'] or volume['id']}")
        self.path(volume).write_bytes(b"")
        os.truncate(self.path(volume), ROOM)

    def create(self, request: Any, volume: Record) -> None:
        self._asked("create")
        row = self._db.volumes.rows[volume.id]
        if row["deleted"] or row["status"] != "creating":
            return
        row["status"] = self.plan.get("create", "available")
        if row["status"] == "available":
            if row["host"] == HOST:
                self.add(row)
            else:
                self._ours.objects.add(f"volume-{row['id']}")

    def connect(self, request: Any, source: Record, connector: Any) -> Mapping[str, Any]:
        self._asked("connect")
        self.exports.add(source.id)
        return {"driver_volume_type": "local", "data": {"device_path": str(self.path(source))}}

    def disconnect(self, request: Any, source: Record, connector: Any) -> None:
        self._asked("disconnect")

    def unexport(self, request: Any, source: Record, *, wait: bool = True) -> None:
        self._asked("unexport" if wait else "unexport_cast")
        self.exports.discard(source.id)

    def delete(self, request: Any, source: Record) -> None:
        self._asked("delete")
        row = self._db.volumes.rows[source.id]
        if row["deleted"]:
            return
        assert row["status"] == "deleting", "a service refuses it otherwise"
        if self.keys is not None and row["encryption_key_id"]:
            others = self._db.volumes.of(encryption_key_id=row["encryption_key_id"])
            if others == [row]:  # as the flow of that service does
                self.keys.delete(request, row["encryption_key_id"])
        objects = self.objects if row["host"] == HOST else self._ours.objects
        objects.discard(f"volume-{row['_name_id'] or row['id']}")
        row.update(deleted=True, status="deleted", migration_status=None)

    def update_migrated(self, request: Any, volume: Record, copy: Record, status: Any) -> None:
        self._asked("update_migrated")
        told = {
            "_name_id": copy["_name_id"] or copy["id"],
            "provider_location": copy["provider_location"],
        }
        self._db.volumes.write(volume["id"], told)
        self._db.volumes.write(copy["id"], {name: volume[name] for name in told})

    def attach(self, request: Any, volume: Record, attachment: Mapping[str, Any]) -> None:
        self._asked("attach")
        names = ("instance_uuid", "attached_host", "mountpoint", "attach_mode")
        row = {name: attachment[name] for name in names}
        if not self._db.attachments.of(volume_id=volume.id, **row):
            more = {"volume_id": volume.id, "attach_status": "attached"}
            self._db.attachments.insert({**row, **more})
        self._db.volumes.rows[volume.id]["attach_status"] = "attached"

    def _asked(self, method: str) -> None:
        self.calls.append(method)
        planned = self.plan.get(method)
        if isinstance(planned, BaseException):
            raise planned


class Compute:
    """A compute service, which reserves the copy when it is asked for a swap.

    ``error`` is raised by any call; ``loses_answers`` raises it after it has done its part.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self.told: list[tuple[str, str, list[str]]] = []
        self.swaps: list[tuple[str, str]] = []
        self.error: BaseException | None = None
        self.loses_answers = False

    def volume_extended(self, request: Any, volume_id: str, instances: Sequence[str]) -> None:
        self._refuse()
        self.told.append(("extended", volume_id, list(instances)))

    def volume_reimaged(self, request: Any, volume_id: str, instances: Sequence[str]) -> None:
        self._refuse()
        self.told.append(("reimaged", volume_id, list(instances)))

    def swap_volume(self, request: Any, instance: str, volume_id: str, copy_id: str) -> None:
        if not self.loses_answers:
            self._refuse()
        self.swaps.append((instance, volume_id))
        row = self._db.volumes.rows[copy_id]
        assert row["status"] == "available", "what is taken cannot be taken again"
        row["status"] = "reserved"
        self._refuse()

    def _refuse(self) -> None:
        if self.error is not None:
            raise self.error


REFUSED = ServiceRefused("VolumeBackendAPIException: out of order")
