# SPDX-License-Identifier: Apache-2.0
"""Rows as the API inserts them before it sends a message, and the backend's objects."""

from __future__ import annotations

from typing import Any

from drivers.interface.records import Record
from worker.db.records import Records

NODE, BACKEND = "h1", "b1"
HOST = f"{NODE}@{BACKEND}"


class Rows:
    """Inserts rows of a backend."""

    node = NODE
    host = HOST
    records: Records

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
