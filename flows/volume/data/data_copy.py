# SPDX-License-Identifier: Apache-2.0
"""Copy data between two volumes through their connections.

For drivers that cannot do by themselves what is asked. It reaches volumes that
the driver connects as a local path; another protocol needs an initiator on this
host, and is refused with a clear error.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from flows import driver_contract
from flows.context import Context
from flows.volume.connections.connection import is_used
from flows.volume.data import temporary_objects

_CHUNK = 4 * 1024 * 1024
"""Bytes that are read and written at a time."""

_ZEROS = bytes(_CHUNK)


def copy_snapshot_over(ctx: Context, volume: Record, snapshot: Record) -> None:
    """Write a snapshot's data over its volume, through a temporary volume."""
    driver = ctx.driver
    temporary = temporary_objects.volume_of_snapshot(volume, snapshot)
    driver.delete_volume(temporary)  # what an interrupted try left
    try:
        answer = driver.create_volume_from_snapshot(temporary, snapshot)
        update = driver_contract.model_update(answer, temporary, "create_volume_from_snapshot")
        temporary = temporary.replace(**update)
        with connected(ctx, temporary) as source, connected(ctx, volume) as target:
            _copy(ctx, source, target)
    finally:
        driver.delete_volume(temporary)


def clear_away(ctx: Context, volume: Record, snapshot: Record) -> None:
    """Remove what a copy that was cut short may have left."""
    driver, elevated = ctx.driver, ctx.request.elevated()
    temporary = temporary_objects.volume_of_snapshot(volume, snapshot)
    driver.remove_export(elevated, volume)
    driver.remove_export(elevated, temporary)
    driver.delete_volume(temporary)


@contextmanager
def connected(ctx: Context, volume: Record) -> Iterator[str]:
    """Connect a volume to this host and give its path.

    Where somebody else uses it, the export stays. The connector says by
    ``do_local_attach`` that it is this host itself who asks.

    :raises VolumeBackendAPIException: it is not reachable as a local path.
    """
    driver, connector, elevated = ctx.driver, _connector(), ctx.request.elevated()
    driver.validate_connector(connector)
    try:
        answer = driver.create_export(elevated, volume, connector)
        exported = volume.replace(**driver_contract.model_update(answer, volume, "create_export"))
        info = driver_contract.connection_info(
            driver.initialize_connection(exported, connector), volume
        )
        try:
            yield _path(info, volume)
        finally:
            driver.terminate_connection(exported, connector)
    finally:
        if not is_used(ctx, volume.id):
            driver.remove_export(elevated, volume)


def _connector() -> dict[str, Any]:
    return {"host": socket.gethostname(), "ip": "127.0.0.1", "do_local_attach": True}


def _path(info: Mapping[str, Any], volume: Record) -> str:
    path = info["data"].get("device_path")
    if info["driver_volume_type"] != "local" or not path:
        text = f"volume {volume.id} is reached by {info['driver_volume_type']}"
        raise VolumeBackendAPIException(f"{text}, not as a local path: its data cannot be copied")
    return str(path)


def _copy(ctx: Context, source: str, target: str) -> None:
    with (
        open(source, "rb", buffering=0) as reader,
        open(target, "r+b", buffering=0) as writer,
    ):
        copy_between(ctx, reader, writer, length_of(reader))


def length_of(file: BinaryIO) -> int:
    """Return how long a file or device is, in bytes."""
    return file.seek(0, os.SEEK_END)


def copy_between(
    ctx: Context, reader: BinaryIO, writer: BinaryIO, size: int, *, compares: bool = False
) -> None:
    """Copy the first bytes of a file or device into another one, to its disk.

    What is a hole in both is passed over, and zeros are not written over zeros, so that
    a sparse copy stays sparse.

    :param size: how many bytes.
    :param compares: whether other data that is there already is not written again either.
    """
    at = 0
    while (at := _next_data(reader, writer, at, size)) < size:
        at = _copy_some(ctx, reader, writer, at, min(_CHUNK, size - at), compares)
        ctx.progress(min(1.0, at / size))
    with ctx.waiting():
        writer.flush()
        if (fd := _descriptor(writer)) is not None:
            os.fsync(fd)


def _next_data(reader: BinaryIO, writer: BinaryIO, at: int, size: int) -> int:
    """Return where one of the two has data next; what is a hole in both is passed over."""
    return min(size, _data_from(reader, at), _data_from(writer, at))


def _data_from(file: BinaryIO, at: int) -> int:
    fd = _descriptor(file)
    if fd is None:
        return at
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        # A hole to the end; a device, or a file system, may not know its holes.
        return sys.maxsize if error.errno == errno.ENXIO else at


def _descriptor(file: BinaryIO) -> int | None:
    """Return a file's descriptor; None where it is one by its methods only."""
    try:
        return file.fileno()
    except (AttributeError, OSError):
        return None


def _copy_some(
    ctx: Context, reader: BinaryIO, writer: BinaryIO, at: int, length: int, compares: bool
) -> int:
    """Copy a piece and return where it ends."""
    with ctx.waiting():
        chunk = _read(reader, at, length)
        if not chunk:
            raise VolumeBackendAPIException(f"the source of a copy ends at {at} bytes meanwhile")
        known = compares or chunk == _ZEROS[: len(chunk)]
        if not known or _read(writer, at, len(chunk)) != chunk:
            _write(writer, chunk, at)
    return at + len(chunk)


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)


def _write(file: BinaryIO, chunk: bytes, at: int) -> None:
    file.seek(at)
    view = memoryview(chunk)
    while view:
        done = file.write(view)
        view = view[len(view) if done is None else done :]  # os-brick's own files tell nothing
