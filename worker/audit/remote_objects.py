# SPDX-License-Identifier: Apache-2.0
"""The objects of a backend, as the running service lists them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from oslo_messaging import MessagingTimeout, RemoteError

from drivers.interface.listing import BackendObject
from worker.audit.sources import Unable
from worker.endpoints.audit import PAGE_MAX
from worker.rpc.clients.sender import BusUnavailable
from worker.rpc.clients.volume import VolumeClient
from worker.rpc.request_context import RequestContext


class RemoteObjects:
    """The list of a backend, read by pages.

    :param address: ``host@backend``, or ``cluster@backend``.
    """

    def __init__(self, client: VolumeClient, address: str, limit: int = PAGE_MAX) -> None:
        self._client = client
        self._address = address
        self._limit = limit

    def __call__(self) -> Iterator[BackendObject]:
        """Yield the objects. :raises Unable: the service does not list them."""
        after: list[str] | None = None
        while page := self._page(after):
            yield from (_object(fields) for fields in page)
            if len(page) < self._limit:
                return
            after = page[-1][:2]

    def _page(self, after: list[str] | None) -> list[list[Any]]:
        request, method = RequestContext.admin(), "list_backend_objects"
        try:
            found = self._client.call(
                request, self._address, method, limit=self._limit, after=after
            )
        except MessagingTimeout as error:
            raise Unable(f"the service {self._address} does not answer: is it up?") from error
        except BusUnavailable as error:
            raise Unable(f"the message bus does not answer: {error}") from error
        except RemoteError as error:
            text = f"{error.exc_type}: {error.value}"
            raise Unable(f"the service {self._address} lists no objects: {text}") from error
        if found is None:
            raise Unable(f"the driver of {self._address} lists no objects")
        return list(found)


def _object(fields: list[Any]) -> BackendObject:
    kind, name, size, volume_name, owner, consumers = fields
    known = None if consumers is None else tuple(consumers)
    return BackendObject(kind, name, size, volume_name, owner, known)
