# SPDX-License-Identifier: Apache-2.0
"""RPC methods that manage existing objects, and list them (spec/volume-rpc §2)."""

from __future__ import annotations

from typing import Any, Protocol

from flows.snapshot import manage as manage_snapshot
from flows.volume import manage
from worker.endpoints.arguments import on_snapshot, on_volume
from worker.rpc import codec, objects
from worker.rpc.dispatch import exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class ManageableObjects(Protocol):
    """The objects on the backend that can be managed."""

    def manageable_volumes(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the volumes that can be managed; ``page`` has the driver's keywords."""

    def manageable_snapshots(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the snapshots that can be managed."""


class ManageEndpoint:
    """Manage existing volumes and snapshots.

    :param manageable: lists the objects that can be managed.
    """

    def __init__(self, manageable: ManageableObjects) -> None:
        self._manageable = manageable

    @exposed("3.0")
    def manage_existing(self, request: RequestContext, volume: Any, ref: Any = None) -> Operation:
        """Manage an existing object as a volume."""
        return on_volume(manage.flow, volume, ref=codec.raw(ref))

    @exposed("3.0")
    def manage_existing_snapshot(
        self, request: RequestContext, snapshot: Any, ref: Any = None
    ) -> Operation:
        """Manage an existing object as a snapshot."""
        return on_snapshot(manage_snapshot.flow, snapshot, ref=codec.raw(ref))

    @exposed("3.10", journalled=False)
    def get_manageable_volumes(
        self,
        request: RequestContext,
        marker: Any,
        limit: Any,
        offset: Any,
        sort_keys: Any,
        sort_dirs: Any,
        want_objects: bool = False,
    ) -> list[dict[str, Any]]:
        """Return one page of the volumes that can be managed."""
        found = self._manageable.manageable_volumes(
            _page(marker, limit, offset, sort_keys, sort_dirs)
        )
        return [objects.manageable_volume(e) for e in found] if want_objects else found

    @exposed("3.10", journalled=False)
    def get_manageable_snapshots(
        self,
        request: RequestContext,
        marker: Any,
        limit: Any,
        offset: Any,
        sort_keys: Any,
        sort_dirs: Any,
        want_objects: bool = False,
    ) -> list[dict[str, Any]]:
        """Return one page of the snapshots that can be managed."""
        page = _page(marker, limit, offset, sort_keys, sort_dirs)
        found = self._manageable.manageable_snapshots(page)
        return [objects.manageable_snapshot(e) for e in found] if want_objects else found


def _page(marker: Any, limit: Any, offset: Any, keys: Any, directions: Any) -> dict[str, Any]:
    return {
        "marker": codec.raw(marker),
        "limit": limit,
        "offset": offset,
        "sort_keys": codec.raw(keys),
        "sort_dirs": codec.raw(directions),
    }
