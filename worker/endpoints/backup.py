# SPDX-License-Identifier: Apache-2.0
"""RPC methods of the backup service, 2.0 to 2.4 (spec/backup-rpc)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from flows.backup import (
    consolidate,
    continue_,
    create,
    delete,
    delete_from_chain,
    record,
    reset,
    restore,
)
from flows.statuses import BackupStatus
from worker.endpoints.arguments import (
    as_list,
    backup_lock,
    check_id,
    id_of,
    on_backup,
    on_chain,
)
from worker.rpc.dispatch import BadArguments, exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

RPC_VERSION = "2.4"


class ForceDeleteSupport(Protocol):
    """The backup driver's support of force deletion."""

    def supports_force_delete(self) -> bool:
        """Return whether a backup in progress can be deleted.

        :raises DriverNotInitialized: the driver is not up.
        """


class BackupEndpoint:
    """Create, restore, delete, export and import backups.

    :param driver: the support of force deletion.
    """

    def __init__(self, driver: ForceDeleteSupport) -> None:
        self._driver = driver

    @exposed("2.0")
    def create_backup(self, request: RequestContext, backup: Any) -> Operation:
        """Begin a backup: ask the volume service for the device to read."""
        return on_backup(create.flow, backup)

    @exposed("2.0")
    def continue_backup(
        self, request: RequestContext, backup: Any, backup_device: Any
    ) -> Operation:
        """Back up the device that the volume service has named."""
        device = _device(backup_device)
        return on_backup(continue_.flow, backup, moves_data=True, device=device)

    @exposed("2.0")
    def restore_backup(
        self,
        request: RequestContext,
        backup: Any,
        volume_id: str,
        volume_is_new: Any = False,
        past_damage: Any = False,
    ) -> Operation:
        """Restore a backup to a volume; Cinder has no ``past_damage``."""
        check_id(volume_id, "volume_id")
        args: dict[str, Any] = {"volume_id": volume_id, "volume_is_new": bool(volume_is_new)}
        if past_damage:
            args["past_damage"] = True
        return on_backup(restore.flow, backup, moves_data=True, **args)

    @exposed("2.0", journalled=False)
    def can_restore_past_damage(self, request: RequestContext) -> bool:
        """Return True: ``restore_backup`` has ``past_damage``. Cinder does not know this method."""
        return True

    @exposed("2.0")
    def delete_backup(self, request: RequestContext, backup: Any) -> Operation:
        """Delete a backup."""
        return on_backup(delete.flow, backup)

    @exposed("2.0")
    def delete_from_chain(self, request: RequestContext, backup: Any) -> Operation:
        """Delete a backup, and keep those that build on it."""
        return on_chain(delete_from_chain.flow, backup, backup_lock(id_of(backup, "backup")))

    @exposed("2.0")
    def consolidate_backup(self, request: RequestContext, backup: Any) -> Operation:
        """Make a full backup of an incremental one."""
        return on_chain(consolidate.flow, backup)

    @exposed("2.0", quick=True)
    def export_record(self, request: RequestContext, backup: Any) -> Operation:
        """Return the record by which another installation imports a backup."""
        return on_backup(record.export, backup)

    @exposed("2.0", quick=True)
    def import_record(
        self,
        request: RequestContext,
        backup: Any,
        backup_service: Any,
        backup_url: Any,
        backup_hosts: Any,
    ) -> Operation:
        """Import the record of a backup that another installation made."""
        return on_backup(
            record.import_,
            backup,
            backup_service=str(backup_service),
            backup_url=backup_url,
            backup_hosts=as_list(backup_hosts),
        )

    @exposed("2.0", quick=True)
    def reset_status(self, request: RequestContext, backup: Any, status: Any) -> Operation:
        """Set a backup's status at an administrator's request."""
        if status not in tuple(BackupStatus):
            known = ", ".join(BackupStatus)
            raise BadArguments(f"{status!r:.40} is no status of a backup: {known}")
        return on_backup(reset.flow, backup, status=status)

    @exposed("2.0", journalled=False)
    def check_support_to_force_delete(self, request: RequestContext) -> bool:
        """Return whether a backup in progress can be deleted."""
        return self._driver.supports_force_delete()


def _device(found: Any) -> dict[str, Any]:
    """Return the device to read. :raises BadArguments: it names none of the two, or both."""
    if not isinstance(found, Mapping):
        raise BadArguments("backup_device is no object")
    sources = {kind: found.get(kind) for kind in ("volume", "snapshot")}
    named = [kind for kind, source in sources.items() if source]
    if len(named) != 1:
        raise BadArguments("backup_device has to name a volume or a snapshot, one of them")
    source_id = id_of(sources[named[0]], f"backup_device.{named[0]}")
    return {"kind": named[0], "id": source_id, "secure": bool(found.get("secure_enabled"))}
