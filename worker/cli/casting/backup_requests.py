# SPDX-License-Identifier: Apache-2.0
"""Requests to the backup service, made as cinder-api makes them (spec/backup-rpc §1.1)."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any

from oslo_messaging import MessagingTimeout, RemoteError

from drivers.interface.records import Record
from flows.statuses import BackupStatus, SnapshotStatus, VolumeStatus
from worker.cli.access import Access, CommandError
from worker.cli.casting.requests import Sent
from worker.cli.casting.rows import RequestRows, require
from worker.cli.chains.parents import Parents
from worker.db.records.services.service import is_up
from worker.rpc.clients.backup import BackupClient
from worker.rpc.request_context import RequestContext

BINARY = "cinder-backup"
_DELETABLE = (BackupStatus.AVAILABLE, BackupStatus.ERROR, BackupStatus.ERROR_DELETING)
_CREATION = (BackupStatus.CREATING,), (BackupStatus.AVAILABLE,)
_DELETION = (BackupStatus.DELETING,), (BackupStatus.DELETED,)
"""Statuses of a backup during an operation, and after its success."""

_UNDER_WAY = (BackupStatus.CREATING, BackupStatus.RESTORING)


class BackupRequests:
    """Makes rows as the API does, and sends casts.

    :param project: of the new rows.
    :param host: of the backup service; where None is given, the one that is enabled.
    """

    def __init__(self, access: Access, project: str = "admin", host: str | None = None) -> None:
        self._access = access
        self._records = access.records
        self._project = project
        self._host = host

    def create(
        self,
        volume: Record,
        snapshot: Record | None,
        *,
        incremental: bool,
        force: bool,
        **columns: Any,
    ) -> Sent:
        """Back a volume, or a snapshot of it, up. :raises CommandError: it cannot be now."""
        parent = self.parent(volume, snapshot) if incremental else None
        if incremental and parent is None:
            text = f"has no backup of {self._service} yet that one could build on"
            raise CommandError(f"volume {volume.id} {text}")
        return self.create_on(parent, volume, snapshot, force=force, **columns)

    def parent(
        self, volume: Record, snapshot: Record | None, excluded: Collection[str] = ()
    ) -> Record | None:
        """Return the newest backup that the service can build on; None where there is none.

        :param excluded: ids of backups that are not to be built on.
        :raises CommandError: there are several services, and none was named.
        """
        return Parents(self._access, self._service).newest(volume, snapshot, excluded)

    def create_on(
        self,
        parent: Record | None,
        volume: Record,
        snapshot: Record | None,
        *,
        force: bool,
        **columns: Any,
    ) -> Sent:
        """Make a backup that builds on another one, or else a full one, as :meth:`create` does."""
        with self._rows() as rows:
            if snapshot is not None:
                require(snapshot, (SnapshotStatus.AVAILABLE,), "a backup of it")
                rows.move(snapshot, SnapshotStatus.BACKING_UP, (SnapshotStatus.AVAILABLE,))
            else:
                self._take(rows, volume, force)
            backup = rows.create_backup(
                volume,
                host=self._service,
                parent_id=parent and parent.id,
                snapshot_id=snapshot and snapshot.id,
                data_timestamp=snapshot.created_at if snapshot else None,
                project_id=self._project,
                user_id=self._project,
                **columns,
            )
            request_id = self._cast("create_backup", backup)
            rows.keep()
        return Sent("create_backup", True, request_id, backup, *_CREATION)

    def restore(
        self, backup: Record, volume: Record, *, new: bool, past_damage: bool = False
    ) -> Sent:
        """Restore a backup to a volume. :raises CommandError: it cannot be now."""
        require(backup, (BackupStatus.AVAILABLE,), "a restore of it")
        require(volume, (VolumeStatus.AVAILABLE,), "a restore to it")
        if volume.size < (backup.size or 0):
            sizes = f"{volume.size} GiB, backup {backup.id} needs {backup.size}"
            raise CommandError(f"volume {volume.id} has {sizes}")
        if past_damage:
            self._require_past_damage(backup)
        with self._rows() as rows:
            rows.move(volume, VolumeStatus.RESTORING_BACKUP, (VolumeStatus.AVAILABLE,))
            rows.move(
                backup,
                BackupStatus.RESTORING,
                (BackupStatus.AVAILABLE,),
                restore_volume_id=volume.id,
            )
            row = self._records.backups.get(backup.id)
            named = {"volume_id": volume.id, "volume_is_new": new}
            if past_damage:
                named["past_damage"] = True
            request_id = self._cast("restore_backup", row, **named)
            rows.keep()
        during, wanted = (VolumeStatus.RESTORING_BACKUP,), (VolumeStatus.AVAILABLE,)
        return Sent("restore_backup", True, request_id, volume, during, wanted)

    def delete(self, backup: Record, *, force: bool, hand_on: bool = False) -> Sent:
        """Delete a backup. :raises CommandError: others build on it, or it is in use.

        :param hand_on: whether its data is handed on to backups that build on it.
        """
        if children := self._records.backups.dependants(backup.id):
            self._require_handed_on(backup, children, hand_on)
            # It stays available until none builds on it: a cinder-backup of the same host
            # deletes each backup that is deleting when it starts.
            request_id = self._cast("delete_from_chain", backup)
            return Sent("delete_from_chain", True, request_id, backup)
        when = (*_DELETABLE, *_UNDER_WAY) if force else _DELETABLE
        require(backup, when, "its deletion" if force else "its deletion (or --force)")
        with self._rows() as rows:
            rows.move(backup, BackupStatus.DELETING, when)
            request_id = self._cast("delete_backup", self._records.backups.get(backup.id))
            rows.keep()
        return Sent("delete_backup", True, request_id, backup, *_DELETION)

    def consolidate(self, backup: Record) -> Sent:
        """Make a full backup of one. :raises CommandError: it is a full one, or in use."""
        require(backup, (BackupStatus.AVAILABLE,), "its consolidation")
        if not backup.parent_id:
            raise CommandError(f"backup {backup.id} is a full one: there is nothing to do")
        request_id = self._cast("consolidate_backup", backup)
        return Sent("consolidate_backup", True, request_id, backup)

    def _require_handed_on(self, backup: Record, children: Sequence[str], hand_on: bool) -> None:
        if not hand_on:
            text = f"is needed by {', '.join(children[:3])}; --hand-on gives them its data"
            raise CommandError(f"backup {backup.id} {text}")
        require(backup, (BackupStatus.AVAILABLE,), "--hand-on")
        for one in map(self._records.backups.get, children):
            require(one, (BackupStatus.AVAILABLE,), f"the deletion of {backup.id}, its parent,")

    def export(self, backup: Record) -> dict[str, Any]:
        """Return a backup's record. :raises CommandError: the service refused."""
        try:
            return dict(self._call(backup, "export_record", backup=backup))
        except RemoteError as error:
            text = f"export_record failed: {error.exc_type}: {error.value}"
            raise CommandError(text) from error

    def import_record(self, record: dict[str, Any], exported: dict[str, Any]) -> Sent:
        """Insert a row for an exported backup, and have the service fill it."""
        with self._rows() as rows:
            size = int(record.get("size") or 0)
            nowhere = "00000000-0000-0000-0000-000000000000"
            backup = rows.insert_backup(
                id=str(record["id"]),
                volume_id=nowhere,
                size=size,
                host=self._service,
                project_id=self._project,
                user_id=self._project,
            )
            named = {**exported, "backup_hosts": [one.host for one in self._services]}
            request_id = self._cast("import_record", backup, **named)
            rows.keep()
        return Sent("import_record", True, request_id, backup, *_CREATION)

    def _rows(self) -> RequestRows:
        return RequestRows(self._records, gigabytes=not self._access.conf.no_snapshot_gb_quota)

    def _take(self, rows: RequestRows, volume: Record, force: bool) -> None:
        usable = (
            (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE) if force else (VolumeStatus.AVAILABLE,)
        )
        if volume.status == VolumeStatus.IN_USE and not force:
            raise CommandError(f"volume {volume.id} is in use: --force reads it as of one moment")
        require(volume, usable, "a backup of it")
        rows.move(volume, VolumeStatus.BACKING_UP, usable, previous_status=volume.status)

    @functools.cached_property
    def _services(self) -> Sequence[Record]:
        return list(self._records.services.list(binary=BINARY))

    @functools.cached_property
    def _service(self) -> str:
        """Return the host that was said, or the one that there is."""
        if self._host:
            return self._host
        down = self._access.conf.service_down_time
        enabled = [row for row in self._services if not row.disabled]
        alive = [row for row in enabled if is_up(row, down)] or enabled
        if len(alive) == 1:
            return str(alive[0].host)
        known = ", ".join(row.host for row in self._services) or "none has ever been started"
        raise CommandError(f"say which backup service with --host; known: {known}")

    def _cast(self, method: str, backup: Record, **args: Any) -> str:
        request = self._request()
        self._client.cast(request, backup.host or self._service, method, backup=backup, **args)
        return str(request.request_id)

    def _require_past_damage(self, backup: Record) -> None:
        """Ask before a status changes: cinder-backup would fail, and leave both in ``restoring``.

        :raises CommandError: the service cannot do it, or does not answer.
        """
        try:
            self._call(backup, "can_restore_past_damage")
        except RemoteError as error:
            host = backup.host or self._service
            text = f"backup service {host} cannot restore past damage ({error.exc_type})"
            raise CommandError(f"{text}: it is a cinder-backup, or an older Holdfast") from error

    def _call(self, about: Record, method: str, **args: Any) -> Any:
        """Return the answer of the service of a backup.

        :raises RemoteError: it failed there.
        :raises CommandError: there is no answer.
        """
        seconds, host = self._access.conf.rpc_response_timeout, about.host or self._service
        try:
            return self._client.call(self._request(), host, method, **args)
        except MessagingTimeout as error:
            text = f"no answer from {host} within {seconds} s: is it up? see: holdfast service list"
            raise CommandError(text) from error

    def _request(self) -> RequestContext:
        who = {"user_id": self._project, "project_id": self._project}
        return RequestContext({"is_admin": True, "roles": ["admin"], **who})

    @functools.cached_property
    def _client(self) -> BackupClient:
        return BackupClient(self._access.bus, self._access.conf.rpc_response_timeout)
