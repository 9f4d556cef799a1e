# SPDX-License-Identifier: Apache-2.0
"""Check whether a file is used as a disk, as far as this host's kernel knows.

QEMU and its tools lock the images that they open; a loop device names the file
behind it. A process that only has the file open is not noticed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

from drivers.interface.errors import VolumeIsBusy
from drivers.interface.export import ExportDriver
from drivers.interface.records import Record
from drivers.volume.files import Directory

_FLOCK = "hhqqi0q"
"""The C structure: type, whence, start, length, process."""

_LOOP_DEVICES = Path("/sys/block")


def require_unused(files: Directory, export: ExportDriver | None, volume: Record) -> None:
    """Refuse a volume in use; an absent one is not in use.

    :raises VolumeIsBusy: the text names the user.
    """
    if export is not None and export.is_up(volume.name):
        raise VolumeIsBusy(f"volume {volume.id} is exported: remove the export first")
    with contextlib.suppress(FileNotFoundError), files.opened(volume.name) as fd:
        if user := user_of(fd):
            raise VolumeIsBusy(f"volume {volume.id} is in use by {user}")


def user_of(fd: int) -> str | None:
    """Return the user of an open file as a disk, in words; None where none is known."""
    if _is_locked(fd):
        return "a process that has locked it, as QEMU does"
    return _loop_device(fd)


def _is_locked(fd: int) -> bool:
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, wanted)
    except OSError:  # a file system without locks
        return False
    return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)


def _loop_device(fd: int) -> str | None:
    wanted = os.fstat(fd)
    for backing in _LOOP_DEVICES.glob("loop*/loop/backing_file"):
        try:
            found = os.stat(backing.read_text().rstrip("\n"))
        except OSError:  # detached meanwhile, or its file deleted
            continue
        if os.path.samestat(found, wanted):
            return f"the loop device {backing.parents[1].name}"
    return None
