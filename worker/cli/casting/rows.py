# SPDX-License-Identifier: Apache-2.0
"""Rows, statuses and quota as the API leaves them for a cast, until it is on its way.

Source: spec/volume-rpc §1.2. Each change says how it is taken back, and is, unless
:meth:`RequestRows.keep` is called: a request that was never sent must not wait in ``creating``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.statuses import BackupStatus, SnapshotStatus, VolumeStatus
from worker.cli.access import CommandError
from worker.db.records import Records


class RequestRows:
    """The changes that one request makes; a context manager.

    :param gigabytes: whether snapshots count as gigabytes.
    """

    def __init__(self, records: Records, *, gigabytes: bool) -> None:
        self._records = records
        self._gigabytes = gigabytes
        self._undo = ExitStack()

    def __enter__(self) -> RequestRows:
        self._undo.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._undo.__exit__(kind, error, where)

    def keep(self) -> None:
        """Take nothing back: the cast is on its way."""
        self._undo.pop_all()

    def create_volume(self, **columns: Any) -> Record:
        """Make a volume in ``creating``, with its quota and its work row."""
        amounts = {"volumes": 1, "gigabytes": columns["size"]}
        volume = self._insert(
            amounts, status=VolumeStatus.CREATING, scheduled_at=timeutils.utcnow(), **columns
        )
        self._records.workers.offer("Volume", volume.id, volume.status)
        return volume

    def create_managed(self, **columns: Any) -> Record:
        """Make a volume in ``managing``; its size, and so its gigabytes, are not known yet."""
        return self._insert({"volumes": 1}, status=VolumeStatus.MANAGING, size=0, **columns)

    def _insert(self, amounts: Mapping[str, int], **columns: Any) -> Record:
        reserved = self.reserve(columns["project_id"], amounts)
        volumes = self._records.volumes
        volume = volumes.create(**columns)
        self._undo.callback(volumes.destroy, volume.id)
        self._records.quotas.commit(reserved)
        self._undo.callback(volumes.destroy, volume.id, release=amounts)
        return volume

    def create_snapshot(self, volume: Record, name: str | None) -> Record:
        """Make a snapshot in ``creating``, with its quota and its work row."""
        amounts = {"snapshots": 1, **({"gigabytes": volume.size} if self._gigabytes else {})}
        reserved = self.reserve(volume.project_id, amounts, volume.volume_type_id)
        snapshots = self._records.snapshots
        snapshot = snapshots.create(
            volume_id=volume.id,
            volume_size=volume.size,
            volume_type_id=volume.volume_type_id,
            status=SnapshotStatus.CREATING,
            display_name=name,
            project_id=volume.project_id,
            user_id=volume.user_id,
        )
        self._undo.callback(snapshots.destroy, snapshot.id)
        self._records.quotas.commit(reserved)
        self._undo.callback(snapshots.destroy, snapshot.id, release=amounts)
        self._records.workers.offer("Snapshot", snapshot.id, snapshot.status)
        return snapshot

    def create_backup(self, volume: Record, **columns: Any) -> Record:
        """Make a backup in ``creating``, with its quota."""
        return self.insert_backup(volume_id=volume.id, size=volume.size, **columns)

    def insert_backup(self, **columns: Any) -> Record:
        """Make a row of a backup, with its quota."""
        amounts = {"backups": 1, "backup_gigabytes": columns["size"] or 0}
        reserved = self.reserve(columns["project_id"], amounts)
        values = {name: value for name, value in columns.items() if value is not None}
        backups = self._records.backups
        backup = backups.create(**values)
        if backup.deleted or backup.status != BackupStatus.CREATING:
            raise CommandError(f"backup {backup.id} is there already: {backup.status}")
        self._undo.callback(backups.destroy, backup.id)
        self._records.quotas.commit(reserved)
        self._undo.callback(backups.destroy, backup.id, release=amounts)
        return backup

    def move(self, resource: Record, to: str, when: tuple[str, ...], **columns: Any) -> None:
        """Set a status of a resource. :raises StatusChanged: it is another one."""
        rows = getattr(self._records, f"{resource.kind}s")
        rows.transition(resource.id, to, when=when, **columns)
        before = {name: resource[name] for name in columns}
        self._undo.callback(rows.transition, resource.id, resource.status, when=(to,), **before)

    def mark(self, service: Record, **columns: Any) -> None:
        """Write columns of a service."""
        services = self._records.services
        services.update(service.id, **columns)
        before = {name: service[name] for name in columns}
        self._undo.callback(services.update, service.id, **before)

    def offer(self, volume: Record, status: str) -> None:
        """Leave the work row of a volume."""
        self._records.workers.offer("Volume", volume.id, status)

    def reserve(
        self, project_id: str, amounts: Mapping[str, int], volume_type_id: str | None = None
    ) -> list[str]:
        """Reserve quota and return the reservations."""
        quotas = self._records.quotas
        reserved = quotas.reserve(project_id, amounts, volume_type_id=volume_type_id)
        self._undo.callback(quotas.rollback, reserved)
        return reserved


def require(resource: Record, statuses: tuple[str, ...], label: str) -> None:
    """:raises CommandError: the resource is in none of these statuses."""
    if resource.status not in statuses:
        wanted = " or ".join(statuses)
        text = f"{resource.kind} {resource.id} is {resource.status}; {label} needs {wanted}"
        raise CommandError(text)
