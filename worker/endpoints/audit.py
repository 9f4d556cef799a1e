# SPDX-License-Identifier: Apache-2.0
"""RPC methods of ``holdfast audit``, which Cinder's volume service does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from worker.rpc.dispatch import BadArguments, exposed
from worker.rpc.request_context import RequestContext

PAGE_MAX = 10_000
"""Objects in one answer, which becomes one message."""


class BackendObjects(Protocol):
    """The objects on the backend."""

    def page(self, after: Sequence[str] | None, limit: int) -> list[list[Any]] | None:
        """Return objects as lists of their fields; None where the driver lists none.

        :param after: kind and name of the last object of the page before; None begins anew.
        """


class AuditEndpoint:
    """List the objects of the backend.

    :param objects: lists them.
    """

    def __init__(self, objects: BackendObjects) -> None:
        self._objects = objects

    @exposed("3.20", journalled=False)
    def list_backend_objects(
        self, request: RequestContext, limit: Any, after: Any = None
    ) -> list[list[Any]] | None:
        """Return one page of the objects on the backend, sorted by kind and name."""
        if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= PAGE_MAX:
            raise BadArguments(f"limit is no number from 1 to {PAGE_MAX}: {limit!r:.40}")
        if after is not None and not _is_key(after):
            raise BadArguments(f"after is no kind and name: {after!r:.80}")
        return self._objects.page(after, limit)


def _is_key(value: Any) -> bool:
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(isinstance(one, str) for one in value)
