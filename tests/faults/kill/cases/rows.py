# SPDX-License-Identifier: Apache-2.0
"""Rows as the API inserts them before it sends a message, and the backend's objects."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from drivers.interface.records import Record
from worker.db import models
from worker.db.database import Database
from worker.db.records import Records

NODE, BACKEND = "h1", "b1"
HOST = f"{NODE}@{BACKEND}"


class Rows:
    """Inserts rows of a backend."""

    node = NODE
    host = HOST
    records: Records
    database: Database

    @property
    def pool(self) -> str:
        """The host in a volume's row."""
        return f"{self.host}#{BACKEND}"

    def make(self, name: str, gib: int) -> None:
        """Put an object on the backend."""
        raise NotImplementedError

    def volume(
        self, project: str, status: str = "available", *, made: bool = True, **more: Any
    ) -> Record:
        """Insert a volume with its quota, and its object if it is ``made``."""
        size = more.setdefault("size", 1)
        self.records.quotas.commit(
            self.records.quotas.reserve(project, {"volumes": 1, "gigabytes": size})
        )
        values = {"host": self.pool, "user_id": "u" * 32, "project_id": project}
        record = self.records.volumes.create(**{**values, "status": status, **more})
        if made:
            self.make(record.name, size)
        return record

    def key(self) -> str:
        """Make a key of a volume, as the API does, and return its id."""
        raise NotImplementedError

    def encrypted_type(self) -> str:
        """Insert a type whose volumes are encrypted, and return its id."""
        type_id = str(uuid.uuid4())
        row = {"encryption_id": str(uuid.uuid4()), "volume_type_id": type_id, "provider": "luks"}
        row |= {"cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"}
        known = {"id": type_id, "name": f"encrypted {type_id}", "deleted": False}
        with self.database.writer() as connection:
            connection.execute(sa.insert(models.volume_types).values(**known))
            connection.execute(sa.insert(models.encryption).values(deleted=False, **row))
        return type_id

    def backup(self, volume: Record, status: str = "creating", **more: Any) -> Record:
        """Insert a backup with its quota."""
        quotas, project = self.records.quotas, volume.project_id
        quotas.commit(quotas.reserve(project, {"backups": 1, "backup_gigabytes": volume.size}))
        values = {
            "volume_id": volume.id,
            "size": volume.size,
            "host": self.node,
            "user_id": "u" * 32,
        }
        return self.records.backups.create(**values, project_id=project, status=status, **more)

    def snapshot(
        self, volume: Record, status: str = "available", *, made: bool = True, **more: Any
    ) -> Record:
        """Insert a snapshot with its quota, and its object if it is ``made``."""
        quotas, project = self.records.quotas, volume.project_id
        quotas.commit(quotas.reserve(project, {"snapshots": 1, "gigabytes": volume.size}))
        record = self.records.snapshots.create(
            volume_id=volume.id,
            volume_size=volume.size,
            user_id="u" * 32,
            project_id=project,
            status=status,
            **more,
        )
        if made:
            self.make(f"{volume.name}@{record.name}", volume.size)
        return record

    def group(self, project: str, kind: str, status: str) -> Record:
        """Insert a group with its quota; a generic one has no type."""
        rows = getattr(self.records, f"{kind}s")
        amounts = {"groups": 1} if kind == "group" else {}
        self.records.quotas.commit(self.records.quotas.reserve(project, amounts))
        return rows.create(host=self.pool, user_id="u" * 32, project_id=project, status=status)

    def group_snapshot(self, group: Record, status: str) -> Record:
        """Insert a snapshot of a group."""
        kind = "group_snapshot" if group.kind == "group" else "cgsnapshot"
        values = {"user_id": "u" * 32, "project_id": group.project_id, "status": status}
        rows = getattr(self.records, f"{kind}s")
        return rows.create(**{f"{group.kind}_id": group.id}, **values)
