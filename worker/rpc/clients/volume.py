# SPDX-License-Identifier: Apache-2.0
"""The volume service, for schedulers and for the command line.

Each method sends the lowest version that has it, to the backend that its
resource lives on (spec/volume-rpc §1, spec/service §2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import oslo_messaging

from worker.rpc import objects, topics
from worker.rpc.context import ContextSerializer, RequestContext

_RETRIES = 3

VERSIONS: Mapping[str, str] = {
    "attach_volume": "3.3",
    "detach_volume": "3.4",
    "attachment_update": "3.9",
    "attachment_delete": "3.9",
    "set_log_levels": "3.12",
    "get_log_levels": "3.12",
    "revert_to_snapshot": "3.15",
    "accept_transfer": "3.16",
    "extend_volume_completion": "3.19",
    "reimage": "3.20",
}
"""Methods that came after 3.0."""

CALLS = frozenset(
    {
        "initialize_connection",
        "terminate_connection",
        "attach_volume",
        "detach_volume",
        "attachment_update",
        "attachment_delete",
        "get_capabilities",
        "secure_file_operations_enabled",
        "get_log_levels",
    }
)
"""Methods that answer."""

_OBJECTS = {"volume": objects.volume, "vref": objects.volume, "snapshot": objects.snapshot}


class VolumeClient:
    """Casts to and calls of volume services.

    :param transport: an RPC transport.
    :param timeout: how long to wait for an answer, in seconds.
    """

    def __init__(self, transport: Any, timeout: float = 60) -> None:
        self._client = oslo_messaging.get_rpc_client(
            transport,
            oslo_messaging.Target(topic=topics.TOPIC, version="3.0"),
            serializer=ContextSerializer(),
            retry=_RETRIES,
            timeout=timeout,
        )

    def cast(self, request: RequestContext, host: str, method: str, **args: Any) -> None:
        """Send a method that answers nothing.

        :param host: ``host@backend#pool`` of the resource.
        :param args: records are encoded, everything else goes as it is.
        """
        self._prepared(host, method).cast(request, method, **_encoded(args))

    def call(self, request: RequestContext, host: str, method: str, **args: Any) -> Any:
        """Send a method and return its answer.

        :raises oslo_messaging.RemoteError: it failed there.
        :raises oslo_messaging.MessagingTimeout: no answer in time.
        """
        return self._prepared(host, method).call(request, method, **_encoded(args))

    def publish_service_capabilities(self, request: RequestContext) -> None:
        """Ask every volume service for a capability report."""
        fanout = self._client.prepare(fanout=True, version="3.0")
        fanout.cast(request, "publish_service_capabilities")

    def _prepared(self, host: str, method: str) -> Any:
        target = topics.volume_target(host, VERSIONS.get(method, "3.0"))
        return self._client.prepare(
            topic=target.topic, server=target.server, version=target.version
        )


def _encoded(args: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _OBJECTS[name](value)
        if name in _OBJECTS and isinstance(value, Mapping) and not _is_primitive(value)
        else value
        for name, value in args.items()
    }


def _is_primitive(value: Mapping[str, Any]) -> bool:
    return "versioned_object.name" in value
