# SPDX-License-Identifier: Apache-2.0
"""RPC methods of the backup service, 2.0 to 2.4 (spec/backup-rpc)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from flows.backup import continue_, create, delete, record, reset, restore
from worker.endpoints.arguments import as_list, check_id, field, id_of, on_backup, prefix_of
from worker.endpoints.operation import Operation
from worker.rpc import objects
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import BadArguments, exposed

RPC_VERSION = "2.4"

STATUSES = (
    *("creating", "available", "restoring", "deleting", "deleted", "error", "error_deleting"),
)
"""All statuses of backups (spec/backup-rpc §1)."""


class Service(Protocol):
    """What the methods that start no flow ask of the running service."""

    def supports_force_delete(self) -> bool:
        """Return what the driver says."""

    def publish_capabilities(self) -> None:
        """Report to the scheduler at once."""

    def set_log_levels(self, prefix: str, level: str) -> None:
        """Set the level of all loggers whose names start with a prefix."""

    def log_levels(self, prefix: str) -> dict[str, str]:
        """Return logger names and levels."""


class BackupEndpoint:
    """A host's RPC methods.

    :param service: the running service, for what needs no flow.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    @exposed("2.0")
    def create_backup(self, request: RequestContext, backup: Any) -> Operation:
        """Begin a backup: the volume's service is asked what is to be read."""
        return on_backup(create.flow, backup)

    @exposed("2.0")
    def continue_backup(
        self, request: RequestContext, backup: Any, backup_device: Any
    ) -> Operation:
        """Make a backup of what the volume's service has named."""
        device = _device(backup_device)
        return on_backup(continue_.flow, backup, moves_data=True, device=device)

    @exposed("2.0")
    def restore_backup(
        self, request: RequestContext, backup: Any, volume_id: str, volume_is_new: Any = False
    ) -> Operation:
        """Restore a backup to a volume."""
        check_id(volume_id, "volume_id")
        new = bool(volume_is_new)
        return on_backup(
            restore.flow, backup, moves_data=True, volume_id=volume_id, volume_is_new=new
        )

    @exposed("2.0")
    def delete_backup(self, request: RequestContext, backup: Any) -> Operation:
        """Delete a backup."""
        return on_backup(delete.flow, backup)

    @exposed("2.0")
    def export_record(self, request: RequestContext, backup: Any) -> Operation:
        """Answer what another installation needs to know of a backup."""
        return on_backup(record.export, backup)

    @exposed("2.0")
    def import_record(
        self,
        request: RequestContext,
        backup: Any,
        backup_service: Any,
        backup_url: Any,
        backup_hosts: Any,
    ) -> Operation:
        """Take a backup over that another installation made."""
        return on_backup(
            record.import_,
            backup,
            backup_service=str(backup_service),
            backup_url=backup_url,
            backup_hosts=as_list(backup_hosts),
        )

    @exposed("2.0")
    def reset_status(self, request: RequestContext, backup: Any, status: Any) -> Operation:
        """Write a backup's status as an administrator wishes."""
        if status not in STATUSES:
            raise BadArguments(f"{status!r:.40} is no status of a backup: {', '.join(STATUSES)}")
        return on_backup(reset.flow, backup, status=status)

    @exposed("2.0", journalled=False)
    def check_support_to_force_delete(self, request: RequestContext) -> bool:
        """Answer whether a backup can be deleted while it is made."""
        return self._service.supports_force_delete()

    @exposed("2.2", journalled=False)
    def publish_service_capabilities(self, request: RequestContext) -> None:
        """Report to the scheduler at once."""
        self._service.publish_capabilities()

    @exposed("2.1", journalled=False)
    def set_log_levels(self, request: RequestContext, log_request: Any) -> None:
        """Set log levels by logger prefix."""
        level = field(log_request, "level", "log_request")
        self._service.set_log_levels(prefix_of(log_request), str(level))

    @exposed("2.1", journalled=False)
    def get_log_levels(self, request: RequestContext, log_request: Any) -> dict[str, Any]:
        """Answer log levels by logger prefix."""
        return objects.log_levels(self._service.log_levels(prefix_of(log_request)))


def _device(found: Any) -> dict[str, Any]:
    """Return what is to be read. :raises BadArguments: neither or both of the two."""
    if not isinstance(found, Mapping):
        raise BadArguments("backup_device is no object")
    sources = {kind: found.get(kind) for kind in ("volume", "snapshot")}
    named = [kind for kind, source in sources.items() if source]
    if len(named) != 1:
        raise BadArguments("backup_device has to name a volume or a snapshot, one of them")
    source_id = id_of(sources[named[0]], f"backup_device.{named[0]}")
    return {"kind": named[0], "id": source_id, "secure": bool(found.get("secure_enabled"))}
