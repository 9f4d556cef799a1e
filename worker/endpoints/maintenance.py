# SPDX-License-Identifier: Apache-2.0
"""RPC methods on a backend as a whole (spec/volume-rpc, *Replication and maintenance*)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from oslo_utils import timeutils

from flows.host import cleanup, failover, freeze
from worker.endpoints.arguments import field, ids_of
from worker.rpc.dispatch import BadArguments, exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class FailoverFollower(Protocol):
    """Adopts the result of a failover that another process carried out."""

    def follow(self, updates: Mapping[str, Any]) -> None:
        """Follow a failover.

        :param updates: the columns of the services row that it changed.
        """


class MaintenanceEndpoint:
    """Freeze and thaw a backend, fail it over and back, clean it up.

    :param address: ``cluster@backend``, or ``host@backend``.
    :param follower: follows failovers of other processes.
    """

    def __init__(self, address: str, follower: FailoverFollower) -> None:
        self._address = address
        self._follower = follower

    @exposed("3.0", quick=True)
    def freeze_host(self, request: RequestContext) -> Operation:
        """Freeze the management plane of the backend; return True."""
        return self._on_backend(freeze.freeze)

    @exposed("3.0", quick=True)
    def thaw_host(self, request: RequestContext) -> Operation:
        """Thaw the management plane of the backend; return whether the driver agrees."""
        return self._on_backend(freeze.thaw)

    @exposed("3.8")
    def failover(self, request: RequestContext, secondary_backend_id: Any = None) -> Operation:
        """Fail the backend over to a replication target, or back to ``default``."""
        return self._on_backend(failover.flow, secondary_id=secondary_backend_id)

    @exposed("3.0")
    def failover_host(self, request: RequestContext, secondary_backend_id: Any = None) -> Operation:
        """Fail the backend over, by the method's former name."""
        return self.failover(request, secondary_backend_id)

    @exposed("3.8", journalled=False)
    def failover_completed(self, request: RequestContext, updates: Any) -> None:
        """Follow a failover of another host of the cluster, or of another process."""
        if not isinstance(updates, Mapping):
            raise BadArguments(f"updates are no columns: {updates!r:.80}")
        self._follower.follow(updates)

    @exposed("3.7")
    def do_cleanup(self, request: RequestContext, cleanup_request: Any) -> Operation:
        """End orphaned operations of this service, or of another one of the cluster."""
        service_id = field(cleanup_request, "service_id", "cleanup_request")
        if isinstance(service_id, bool) or not isinstance(service_id, int | None):
            raise BadArguments(f"service_id is no number: {service_id!r:.80}")
        resource_type = _optional(cleanup_request, "resource_type")
        found = ids_of(cleanup_request, "resource_id")
        return self._on_backend(
            cleanup.flow,
            service_id=service_id,
            resource_type=resource_type,
            resource_id=found[0] if found else None,
            until=_moment(_optional(cleanup_request, "until")),
        )

    def _on_backend(self, factory: Any, **args: Any) -> Operation:
        """Return an operation on the whole backend; one of them runs at a time."""
        lock = str(uuid.uuid5(uuid.NAMESPACE_URL, f"the whole of {self._address}"))
        name = self._address.partition("@")[2]
        return Operation(factory, ("backend", name), args, exclusive=(lock,))


def _optional(source: Any, name: str) -> str | None:
    """Return a field that may be missing. :raises BadArguments: it is no text."""
    value = source.get(name)
    if not isinstance(value, str | None):
        raise BadArguments(f"{name} is no text: {value!r:.80}")
    return value or None


def _moment(text: str | None) -> str | None:
    """Return a time unchanged. :raises BadArguments: it is none."""
    if text:
        try:
            timeutils.parse_isotime(text)
        except ValueError as error:
            raise BadArguments(f"until is no time: {text!r:.80}") from error
    return text
