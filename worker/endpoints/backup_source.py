# SPDX-License-Identifier: Apache-2.0
"""RPC methods by which the backup service reads volumes and snapshots (spec/volume-rpc §2)."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from flows.snapshot import connection
from flows.volume.data import backup_device
from worker.endpoints.arguments import (
    check_id,
    field,
    id_of,
    ids_of,
    on_snapshot_connection,
    volume_lock,
)
from worker.rpc import codec
from worker.rpc.dispatch import BadArguments, exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class BackendQueries(Protocol):
    """Questions to a volume driver that start no flow."""

    def secure_file_operations_enabled(self) -> bool:
        """Return whether the driver's files belong to the service's user."""

    def changed_extents(self, kind: str, source_id: str, since: str) -> list[list[int]] | None:
        """Return the extents of a source that may differ from an older snapshot.

        :param kind: ``volume`` or ``snapshot``.
        :returns: start and end of each extent; None where the driver does not know.
        """


class BackupSourceEndpoint:
    """Choose the volume or snapshot that a backup reads, and connect it.

    :param queries: asks the driver.
    """

    def __init__(self, queries: BackendQueries) -> None:
        self._queries = queries

    @exposed("3.17")
    def get_backup_device(
        self,
        request: RequestContext,
        backup: Any,
        want_objects: bool = False,
        async_call: bool = False,
    ) -> Operation:
        """Choose the source of a backup; cast it to the backup service, or return it."""
        backup_id = id_of(backup, "backup")
        return Operation(
            backup_device.flow,
            ("backup", backup_id),
            {"backup_id": backup_id, "async_call": bool(async_call)},
            # Not the backup's own lock: the backup service holds it for as long as it reads.
            exclusive=(f"{backup_id}-backup_device",),
            shared=tuple(volume_lock(v) for v in ids_of(backup, "volume_id")),
            answer=None if want_objects else _plain_device,
        )

    @exposed("3.13", quick=True)
    def initialize_connection_snapshot(
        self, request: RequestContext, snapshot_id: str, connector: Any
    ) -> Operation:
        """Connect a snapshot for reading; return the connection info."""
        operation = on_snapshot_connection(
            connection.initialize, snapshot_id, connector=codec.raw(connector)
        )
        return dataclasses.replace(operation, when_interrupted="revert")

    @exposed("3.13", quick=True)
    def terminate_connection_snapshot(
        self, request: RequestContext, snapshot_id: str, connector: Any, force: bool = False
    ) -> Operation:
        """Disconnect one connector from a snapshot, or all of them without a connector."""
        return on_snapshot_connection(
            connection.terminate, snapshot_id, connector=codec.raw(connector), force=bool(force)
        )

    @exposed("3.13", quick=True)
    def remove_export_snapshot(self, request: RequestContext, snapshot_id: str) -> Operation:
        """Remove a snapshot's export."""
        return on_snapshot_connection(connection.remove_export, snapshot_id)

    @exposed("3.0", journalled=False)
    def secure_file_operations_enabled(self, request: RequestContext, volume: Any = None) -> bool:
        """Return whether files are opened as the service's user."""
        return self._queries.secure_file_operations_enabled()

    @exposed("3.20", journalled=False)
    def get_changed_extents(
        self, request: RequestContext, resource: Any, since: Any
    ) -> list[list[int]] | None:
        """Return the extents of a volume or snapshot that may differ from an older snapshot.

        Cinder's volume service does not have this method: it rejects the call.
        """
        kind = field(resource, "kind", "resource")
        if kind not in ("volume", "snapshot"):
            raise BadArguments(f"resource is a {kind!r:.20}, not a volume or snapshot")
        check_id(since, "since")
        return self._queries.changed_extents(kind, id_of(resource, "resource"), since)


def _plain_device(device: Any) -> dict[str, Any]:
    """Return a device in the form that older RPC versions used, without an object."""
    fields = codec.decode(device)
    kind = "snapshot" if "snapshot" in fields else "volume"
    return {
        "backup_device": device["versioned_object.data"][kind],
        "is_snapshot": kind == "snapshot",
        "secure_enabled": bool(fields["secure_enabled"]),
    }
