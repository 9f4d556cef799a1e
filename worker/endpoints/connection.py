# SPDX-License-Identifier: Apache-2.0
"""RPC methods on exports, connections and attachments of volumes (spec/volume-rpc §2)."""

from __future__ import annotations

from typing import Any

from flows.volume.connections import attach, attachment, connection, detach
from worker.endpoints.arguments import id_of, on_connection
from worker.rpc import objects
from worker.rpc.dispatch import exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class ConnectionEndpoint:
    """Connect volumes to hosts, and disconnect them."""

    @exposed("3.0", quick=True)
    def initialize_connection(
        self, request: RequestContext, volume: Any, connector: Any
    ) -> Operation:
        """Connect a volume; return the connection info."""
        return on_connection(
            connection.initialize,
            id_of(volume, "volume"),
            connector=connector,
            when_interrupted="revert",
        )

    @exposed("3.0", quick=True)
    def terminate_connection(
        self, request: RequestContext, volume_id: str, connector: Any, force: bool = False
    ) -> Operation:
        """Disconnect one connector, or all of them without a connector."""
        return on_connection(
            connection.terminate_flow, volume_id, connector=connector, force=bool(force)
        )

    @exposed("3.0", quick=True)
    def remove_export(self, request: RequestContext, volume_id: str) -> Operation:
        """Remove a volume's export."""
        return on_connection(connection.remove_export, volume_id)

    @exposed("3.3", quick=True)
    def attach_volume(
        self,
        request: RequestContext,
        volume_id: str,
        instance_uuid: Any,
        host_name: Any,
        mountpoint: Any,
        mode: Any,
        volume: Any = None,
    ) -> Operation:
        """Attach a volume without the attachments API; return the attachment."""
        return on_connection(
            attach.attach,
            volume_id,
            answer=objects.attachment,
            instance_uuid=instance_uuid,
            host_name=host_name,
            mountpoint=mountpoint,
            mode=mode,
        )

    @exposed("3.4", quick=True)
    def detach_volume(
        self,
        request: RequestContext,
        volume_id: str,
        attachment_id: Any = None,
        volume: Any = None,
    ) -> Operation:
        """Detach a volume without the attachments API."""
        return on_connection(detach.detach, volume_id, attachment_id=attachment_id)

    @exposed("3.9", quick=True)
    def attachment_update(
        self, request: RequestContext, vref: Any, connector: Any, attachment_id: str
    ) -> Operation:
        """Connect an attachment; return the connection info."""
        return on_connection(
            attachment.update,
            id_of(vref, "vref"),
            connector=connector,
            attachment_id=attachment_id,
            when_interrupted="revert",
        )

    @exposed("3.9", quick=True)
    def attachment_delete(
        self, request: RequestContext, attachment_id: str, vref: Any
    ) -> Operation:
        """Disconnect an attachment."""
        return on_connection(attachment.delete, id_of(vref, "vref"), attachment_id=attachment_id)
