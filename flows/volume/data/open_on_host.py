# SPDX-License-Identifier: Apache-2.0
"""Open a volume or snapshot as a file on this host, whichever service it belongs to.

A source is connected by its backend, attached to this host, opened, and released in the
reverse order at the end. :class:`RemoteConnections` asks the source's service on the bus;
a volume service asks its own driver for its own volumes
(:mod:`flows.volume.data.open_volume`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

from drivers.interface.records import Record
from flows.context import AttachContext
from flows.errors import AttachFailed, DetachFailed, FlowError, Unavailable

LOG = logging.getLogger(__name__)


class Connections(Protocol):
    """The way to the backend of a source. Each call may be repeated."""

    def is_shared(self, source: Record) -> bool:
        """Return whether an attachment uses the source, so that its connection must stay."""

    def connect(
        self, source: Record, connector: Mapping[str, Any]
    ) -> tuple[Record, Mapping[str, Any]]:
        """Export a source and let a connector reach it.

        :returns: the source as it is exported, and the connection info.
        :raises Exception: nothing stays exported.
        """

    def disconnect(self, source: Record, connector: Mapping[str, Any]) -> None:
        """End the access of a connector, and the export unless the source is shared.

        :param source: as :meth:`connect` returned it.
        """

    def disconnect_quietly(self, source: Record, connector: Mapping[str, Any]) -> None:
        """Do so after a failure; log an error instead of raising it."""


class RemoteConnections:
    """Volumes and snapshots of the other volume services.

    :param wait: for the removal of the export: a backup waits for it, a copy between two volume
        services does not, as in Cinder. The volume's service does it before later operations.
    """

    def __init__(self, ctx: AttachContext, *, wait: bool = True) -> None:
        self._request = ctx.request
        self._service = ctx.volume_service
        self._wait = wait

    def is_shared(self, source: Record) -> bool:
        """Leave the decision to the source's service."""
        return False

    def connect(
        self, source: Record, connector: Mapping[str, Any]
    ) -> tuple[Record, Mapping[str, Any]]:
        """Call the service. :raises AttachFailed: it refused, or does not answer."""
        try:
            return source, self._service.connect(self._request, source, connector)
        except FlowError as error:
            self.disconnect_quietly(source, connector)
            raise AttachFailed(f"{source.kind} {source.id}: {error}") from error

    def disconnect(self, source: Record, connector: Mapping[str, Any]) -> None:
        """Call the service. :raises DetachFailed: it refused, or does not answer."""
        try:
            self._service.disconnect(self._request, source, connector)
            self._service.unexport(self._request, source, wait=self._wait)
        except Unavailable:
            raise
        except FlowError as error:
            raise DetachFailed(f"{source.kind} {source.id} stays exported: {error}") from error

    def disconnect_quietly(self, source: Record, connector: Mapping[str, Any]) -> None:
        """Call the service, and log its error."""
        try:
            self.disconnect(source, connector)
        except FlowError as error:
            LOG.warning("%s", error)


@contextmanager
def opened(
    ctx: AttachContext, connections: Connections, source: Record, *, write: bool, secure: bool
) -> Iterator[BinaryIO]:
    """Open a source; a second try first releases the leftovers of the first one.

    :param secure: whether this service's user owns the source's file.
    :raises AttachFailed: it cannot be opened; nothing is attached.
    :raises DetachFailed: after a copy without error, it could not be detached.
    """
    connector = ctx.attacher.connector()
    if ctx.resumed:
        release_leftovers(ctx, connections, source)
    connected, info = connections.connect(source, connector)
    try:
        with ctx.attacher.opened(info, write=write, secure=secure) as file:
            yield file
    except BaseException:
        connections.disconnect_quietly(connected, connector)
        raise
    connections.disconnect(connected, connector)


def release_leftovers(
    ctx: AttachContext, connections: Connections, source: Record, *, quietly: bool = True
) -> None:
    """Detach and disconnect a source that an interrupted try may have left attached.

    The backend is asked to connect it again: its answer names the device to detach.

    :param quietly: log an error of disconnecting instead of raising it.
    """
    if connections.is_shared(source):
        return
    connector = ctx.attacher.connector()
    disconnect = connections.disconnect_quietly if quietly else connections.disconnect
    try:
        connected, info = connections.connect(source, connector)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        LOG.info("%s %s cannot be connected any more: %s", source.kind, source.id, error)
        disconnect(source, connector)
        return
    try:
        ctx.attacher.detach(info)
    except DetachFailed as error:
        LOG.warning("%s %s may stay attached to this host: %s", source.kind, source.id, error)
    disconnect(connected, connector)
