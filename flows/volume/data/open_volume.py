# SPDX-License-Identifier: Apache-2.0
"""Open a volume of any backend on this host, for a copy of its data."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from drivers.interface.records import Record
from flows.context import DataContext
from flows.driver_calls import connectors, driver_contract
from flows.errors import AttachFailed, DriverReturnedRubbish, RunInterrupted
from flows.volume.connections import connection
from flows.volume.data import open_on_host
from flows.volume.data.open_on_host import Connections, RemoteConnections

LOG = logging.getLogger(__name__)


class OwnConnections:
    """Volumes of this service's backend, connected by its driver.

    The connector of this host has ``do_local_attach``, so that a driver may answer with a
    local path.
    """

    def __init__(self, ctx: DataContext) -> None:
        self._ctx = ctx

    def is_shared(self, source: Record) -> bool:
        """Return whether an attachment of the volume has a connector."""
        return connection.is_used(self._ctx, source.id)

    def connect(
        self, source: Record, connector: Mapping[str, Any]
    ) -> tuple[Record, Mapping[str, Any]]:
        """Create the export and initialize the connection.

        :raises DriverReturnedRubbish: the connection info is malformed; another backend may
            do better, so this stays distinct from an error of the copy.
        """
        ctx = self._ctx
        connectors.check(ctx.driver, source, connector)
        try:
            answer = ctx.driver.create_export(ctx.request.elevated(), source, connector)
            update = driver_contract.model_update(answer, source, "create_export")
            exported = source.replace(**update)
            return exported, connection.connect(ctx, exported, connector)
        except BaseException as error:
            self._quietly(source, lambda: self._unexport(source))
            if isinstance(error.__cause__, DriverReturnedRubbish):
                raise error.__cause__ from None
            raise

    def disconnect(self, source: Record, connector: Mapping[str, Any]) -> None:
        """Terminate the connection and remove the export."""
        try:
            connection.terminate(self._ctx, source, connector, force=True)
        finally:
            self._unexport(source)

    def disconnect_quietly(self, source: Record, connector: Mapping[str, Any]) -> None:
        """Do so, and log an error of the driver."""
        self._quietly(source, lambda: self.disconnect(source, connector))

    def _unexport(self, volume: Record) -> None:
        connection.unexport(self._ctx, volume)

    def _quietly(self, volume: Record, work: Any) -> None:
        try:
            work()
        except RunInterrupted:
            raise
        except BaseException as error:  # noqa: BLE001 - a driver may raise anything at all
            LOG.warning(
                "volume %s stays exported to this host: %s",
                volume.id,
                driver_contract.masked(error),
            )


@contextmanager
def opened(ctx: DataContext, volume: Record, *, write: bool) -> Iterator[BinaryIO]:
    """Open a volume as a file, a device or an object with the methods of a file.

    :raises AttachFailed: it cannot be opened; nothing is attached.
    :raises DetachFailed: after a copy without error, it could not be detached.
    :raises Exception: an error of the volume's driver.
    """
    connections = _connections(ctx, volume)
    with open_on_host.opened(ctx, connections, volume, write=write, secure=False) as file:
        if not hasattr(file, "read"):
            raise AttachFailed(f"volume {volume.id}: {file} is not a file or device")
        yield file


def release_leftovers(ctx: DataContext, volume: Record, *, quietly: bool = True) -> None:
    """Detach and disconnect a volume that an interrupted try may have left attached.

    :param quietly: log an error instead of raising it. A revert that is to be recorded as
        incomplete raises; only errors of our own driver count as such.
    """
    connections, ours = _connections(ctx, volume), driver_contract.on_this_backend(ctx, volume)
    open_on_host.release_leftovers(ctx, connections, volume, quietly=quietly or not ours)


def _connections(ctx: DataContext, volume: Record) -> Connections:
    if driver_contract.on_this_backend(ctx, volume):
        return OwnConnections(ctx)
    return RemoteConnections(ctx, wait=False)
