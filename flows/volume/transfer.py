# SPDX-License-Identifier: Apache-2.0
"""Copy data between two volumes through their connections.

For drivers that cannot do by themselves what is asked. It reaches volumes that
the driver connects as a local path; another protocol needs an initiator on this
host, and is refused with a clear error.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from flows import edge
from flows.context import Context

_CHUNK = 4 * 1024 * 1024
"""Bytes that are read and written at a time."""

_ZEROS = bytes(_CHUNK)


def copy_snapshot_over(ctx: Context, volume: Record, snapshot: Record) -> None:
    """Write a snapshot's data over its volume, through a temporary volume.

    The temporary volume has no row: its name carries the snapshot's id, so that a
    second try meets what the first one left, and removes it.
    """
    driver = ctx.driver
    temporary = volume.replace(
        id=snapshot.id,
        name_id=snapshot.id,
        name=f"revert-{snapshot.id}",
        size=snapshot.volume_size,
        snapshot_id=snapshot.id,
        status="in-use",
        use_quota=False,
    )
    driver.delete_volume(temporary)
    driver.create_volume_from_snapshot(temporary, snapshot)
    try:
        with connected(ctx, temporary) as source, connected(ctx, volume) as target:
            _copy(source, target)
    finally:
        driver.delete_volume(temporary)


@contextmanager
def connected(ctx: Context, volume: Record) -> Iterator[str]:
    """Connect a volume to this host and give its path.

    :raises VolumeBackendAPIException: it is not reachable as a local path.
    """
    driver, connector = ctx.driver, _connector()
    driver.validate_connector(connector)
    driver.create_export(ctx.request.elevated(), volume, connector)
    info = edge.connection_info(driver.initialize_connection(volume, connector), volume)
    try:
        yield _path(info, volume)
    finally:
        driver.terminate_connection(volume, connector)


def _connector() -> dict[str, Any]:
    return {"host": socket.gethostname(), "ip": "127.0.0.1", "do_local_attach": True}


def _path(info: Mapping[str, Any], volume: Record) -> str:
    path = info["data"].get("device_path")
    if info["driver_volume_type"] != "local" or not path:
        text = f"volume {volume.id} is reached by {info['driver_volume_type']}"
        raise VolumeBackendAPIException(f"{text}, not as a local path: its data cannot be copied")
    return str(path)


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as reader, open(target, "r+b") as writer:
        while chunk := reader.read(_CHUNK):
            if chunk == _ZEROS[: len(chunk)] and _reads_zeros(writer, len(chunk)):
                continue
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())


def _reads_zeros(writer: Any, length: int) -> bool:
    """Skip what is zero on both sides, so that holes stay holes."""
    at = writer.tell()
    same = bool(writer.read(length) == _ZEROS[:length])
    if not same:
        writer.seek(at)
    return same
