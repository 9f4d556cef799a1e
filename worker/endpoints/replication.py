# SPDX-License-Identifier: Apache-2.0
"""RPC methods on the replication of groups (spec/volume-rpc, *Replication and maintenance*)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from flows.group import replicate
from worker.endpoints.arguments import id_of
from worker.endpoints.group import on_group
from worker.endpoints.operation import Operation
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import BadArguments, exposed


class Targets(Protocol):
    """What is known of the targets of replication."""

    def replication_targets(self, group_id: str) -> Sequence[dict[str, str]]:
        """Return the configured targets, for a group that is there."""


class ReplicationMethods:
    """Replicate groups, and go on with them elsewhere."""

    _service: Targets

    @exposed("3.14")
    def enable_replication(self, request: RequestContext, group: Any) -> Operation:
        """Replicate a group from now on."""
        return _on(replicate.enable, group)

    @exposed("3.14")
    def disable_replication(self, request: RequestContext, group: Any) -> Operation:
        """Stop replicating a group."""
        return _on(replicate.disable, group)

    @exposed("3.14")
    def failover_replication(
        self,
        request: RequestContext,
        group: Any,
        allow_attached_volume: bool = False,
        secondary_backend_id: Any = None,
    ) -> Operation:
        """Go on with a group on a target, or come back to ``default``."""
        if not isinstance(secondary_backend_id, str | None):
            raise BadArguments(f"secondary_backend_id is no name: {secondary_backend_id!r:.80}")
        target, allowed = [secondary_backend_id], bool(allow_attached_volume)
        return _on(replicate.failover, group, targets=target, allow_attached=allowed)

    @exposed("3.14", journalled=False)
    def list_replication_targets(
        self, request: RequestContext, group: Any
    ) -> dict[str, list[dict[str, str]]]:
        """Answer where a group could go on; to an administrator, all that is known of it."""
        found = self._service.replication_targets(id_of(group, "group"))
        if not request.is_admin:
            found = [{"backend_id": one["backend_id"]} for one in found if one.get("backend_id")]
        return {"replication_targets": list(found)}


def _on(
    factory: Any, group: Any, *, targets: Sequence[str | None] = (), allow_attached: bool = True
) -> Operation:
    return on_group(factory, "group", group, targets=list(targets), allow_attached=allow_attached)
