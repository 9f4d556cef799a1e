# SPDX-License-Identifier: Apache-2.0
"""RPC methods by which the backup service reads volumes and snapshots (spec/volume-rpc §2)."""

from __future__ import annotations

import dataclasses
from typing import Any

from flows.snapshot import connection
from flows.volume.data import backup_device
from worker.endpoints.arguments import id_of, ids_of, on_snapshot_connection
from worker.endpoints.operation import Operation, volume_lock
from worker.rpc import codec
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import exposed


class ReadingMethods:
    """What is read for a backup, and how it is reached."""

    @exposed("3.17")
    def get_backup_device(
        self,
        request: RequestContext,
        backup: Any,
        want_objects: bool = False,
        async_call: bool = False,
    ) -> Operation:
        """Choose what a backup is read from; tells the backup service, or answers."""
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

    @exposed("3.13")
    def initialize_connection_snapshot(
        self, request: RequestContext, snapshot_id: str, connector: Any
    ) -> Operation:
        """Let a connector read a snapshot; answers the connection info."""
        operation = on_snapshot_connection(
            connection.initialize, snapshot_id, connector=codec.raw(connector)
        )
        return dataclasses.replace(operation, when_cut_short="revert")

    @exposed("3.13")
    def terminate_connection_snapshot(
        self, request: RequestContext, snapshot_id: str, connector: Any, force: bool = False
    ) -> Operation:
        """End a connector's access to a snapshot, or everybody's without a connector."""
        return on_snapshot_connection(
            connection.terminate, snapshot_id, connector=codec.raw(connector), force=bool(force)
        )

    @exposed("3.13")
    def remove_export_snapshot(self, request: RequestContext, snapshot_id: str) -> Operation:
        """Take a snapshot's export away."""
        return on_snapshot_connection(connection.remove_export, snapshot_id)


def _plain_device(device: Any) -> dict[str, Any]:
    """Return a device as it was told before there was an object for it."""
    fields = codec.decode(device)
    kind = "snapshot" if "snapshot" in fields else "volume"
    return {
        "backup_device": device["versioned_object.data"][kind],
        "is_snapshot": kind == "snapshot",
        "secure_enabled": bool(fields["secure_enabled"]),
    }
