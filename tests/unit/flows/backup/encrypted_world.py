# SPDX-License-Identifier: Apache-2.0
"""A backup service with encrypted volumes, whose operations are killed and resumed."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from drivers.interface.errors import BackupDriverException
from flows.backup import create, delete, restore
from flows.context import BackupContext
from flows.engine import flow_run
from flows.factories import Factory
from tests.unit.flows.backup.key_ledger import KeyLedger
from tests.unit.flows.world.doubles import Killed, Noted, Patient, Request, Watched
from tests.unit.flows.world.installation import DRIVER, Installation
from tests.unit.flows.world.journal import JsonJournal
from worker.adapters.backup_metadata import VolumeMetadata
from worker.db import models

TYPE, OTHER_TYPE = "type-luks", "type-other"


class EncryptedWorld(Installation):
    """Rows, a store in memory and a key manager."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.keys = KeyLedger()
        self.messages = Noted()
        self.metadata = VolumeMetadata(self.records, lambda: self.version)
        self.version = 2
        self.stored: dict[str, str] = {}
        """Metadata of the backups in the store."""
        self.written: list[str] = []
        """Backups whose data was written to a volume."""
        self.store_fails = False
        self.effects: list[str] = []
        self.dead = False
        self.blow: tuple[int, str] | None = None
        self.journal = JsonJournal(gathers=True)
        self._resumed = False

    def strike(self, moment: str, name: str) -> None:
        """Kill the process where it was planned."""
        if self.blow == (len(self.effects) - 1, moment):
            self.blow, self.dead = None, True
            raise Killed(f"{moment} {name}")

    def require_life(self) -> None:
        """Refuse calls of a process that was killed."""
        if self.dead:
            raise Killed("dead already")

    def context(self) -> BackupContext:  # type: ignore[override]
        def watch(target: Any, name: str) -> Any:
            return Watched(target, name, self)

        found = super().context()
        backend: Any = found.backend
        driver: Any = watch(self, "driver")
        backend.driver_for = lambda _request, _backup: driver
        backend.require_driver = lambda: driver
        service: Any = SimpleNamespace(
            get_backup_device=lambda *_: None,
            secure_file_operations_enabled=lambda *_: True,
        )
        return dataclasses.replace(
            found,
            request=Request(),
            keys=watch(self.keys, "keys"),
            volumes=watch(self.records.volumes, "volumes"),
            backups=watch(self.records.backups, "backups"),
            messages=self.messages,  # type: ignore[arg-type]
            workers=self.work_rows,
            volume_service=watch(service, "volume_service"),
            stopping=Patient(),
            resumed=self._resumed,
            key="11111111-2222-3333-4444-555555555555",
        )

    def operate(self, factory: Factory, **args: Any) -> flow_run.Outcome | None:
        """Run an operation from its journal; None where it was killed."""
        running = flow_run.FlowRun(factory, args, self.context(), self.journal.load(), self.journal)
        try:
            return running.run()
        except Killed:
            self.dead, self._resumed = False, True
            return None

    def forget(self) -> None:
        """Begin another operation."""
        self.journal, self._resumed = JsonJournal(gathers=True), False
        self.effects.clear()

    # the driver
    def restore(self, backup: Any, volume_id: str, volume_file: Any, **_: Any) -> None:
        """As a store of ours does: check, data, metadata."""
        self.metadata.check(volume_id, self.stored[backup.id])
        self.written.append(backup.id)
        if self.store_fails:
            raise BackupDriverException("the store fails")
        self.metadata.put(volume_id, self.stored[backup.id])

    def delete_backup(self, backup: Any) -> None:
        """Remove it."""
        if self.store_fails:
            raise BackupDriverException("the store fails")
        self.stored.pop(backup.id, None)

    # rows
    def encrypted_volume(self, status: str = "available", **columns: Any) -> str:
        """Add a volume with a key of the API's."""
        row = {"volume_type_id": TYPE, "user_id": "u", **columns}
        volume = self.volume(status, **row)
        if "encryption_key_id" not in columns:
            key_id = self.keys.add(volume.encode())
            self.records.volumes.update(volume, encryption_key_id=key_id)
        return volume

    def kept(self, volume: str, **columns: Any) -> str:
        """Add a backup of a volume, with a clone of its key."""
        key_id = self.key_of(volume)
        clone = self.keys.add(self.keys.keys[key_id]) if key_id else None
        given = {"encryption_key_id": clone, **columns}
        backup = self.backup("available", volume_id=volume, user_id="u", **given)
        self.stored[backup] = self.metadata.get(volume)
        return backup

    def begin_restore(self, backup: str, volume: str, status: str = "restoring-backup") -> None:
        """Set the statuses, as the API does."""
        self.records.backups.update(backup, status="restoring", restore_volume_id=volume)
        self.records.volumes.update(volume, status=status)

    def create(self, backup: str) -> flow_run.Outcome | None:
        return self.operate(create.flow, backup_id=backup)

    def bring(self, backup: str, volume: str) -> flow_run.Outcome | None:
        args = {"backup_id": backup, "volume_id": volume, "volume_is_new": False}
        return self.operate(restore.flow, **args)

    def delete(self, backup: str) -> flow_run.Outcome | None:
        return self.operate(delete.flow, backup_id=backup)

    def key_of(self, volume: str) -> str | None:
        return self.records.volumes.get(volume).encryption_key_id

    def bytes_of(self, volume: str) -> bytes:
        """Return the bytes of a volume's key."""
        return self.keys.keys[str(self.key_of(volume))]

    def named(self) -> set[str]:
        """Return the ids of keys in live rows."""
        found: set[str] = set()
        for table in (models.volumes, models.snapshots, models.backups):
            query = sa.select(table.c.encryption_key_id.label("key")).where(
                table.c.deleted == sa.false(), table.c.encryption_key_id.is_not(None)
            )
            found |= {row.key for row in self.database.rows(query)}
        return found

    def assert_exact(self) -> None:
        """Each key is named by a row, each named key exists, and none was deleted twice."""
        assert set(self.keys.keys) == self.named()
        assert all(count <= 1 for count in self.keys.deletions.values())

    def told(self) -> list[str]:
        """Return the numbers of the user messages."""
        return [f"{named['action']}_{named['detail']}" for _, _, named in self.messages.calls]

    def shown(self) -> str:
        """Return every text of the journal."""
        return json.dumps(self.journal.texts)


def opened(*_args: Any, **_named: Any) -> Any:
    """In place of an attached volume."""
    return io.BytesIO()


__all__ = ["DRIVER", "OTHER_TYPE", "TYPE", "EncryptedWorld", "opened"]
