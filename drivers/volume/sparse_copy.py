# SPDX-License-Identifier: Apache-2.0
"""Copy a sparse file into another: share its extents, or copy its data.

The system calls copy one part at a time and release the interpreter's lock, so that other
threads run meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import os

from oslo_utils import units

from drivers import blockio

FICLONE = 0x40049409
"""Linux: share all extents of one file with another, at one moment (ioctl_ficlone)."""

_PART = 64 * units.Mi
"""Bytes for one call of copy_file_range."""

_BUFFER = units.Mi
"""Bytes at a time where data has to pass through this process."""

# EPERM: a seccomp filter that does not know the call.
_UNSUPPORTED = {
    errno.EOPNOTSUPP,
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOTTY,
    errno.ENOSYS,
    errno.EPERM,
}


class ChangedMeanwhile(Exception):
    """The source was written to while it was copied: the copy mixes data of several moments."""


def share(source: int, target: int) -> bool:
    """Let an empty file share all data of another, at one moment.

    :returns: False, with nothing changed, where the file system cannot do so.
    """
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def copy(source: int, target: int) -> None:
    """Copy a whole file into an empty one; holes stay holes.

    :raises ChangedMeanwhile: the source changed and its data could not be shared.
    :raises OSError: ENOSPC, before anything is written, where there is no room.
    """
    if share(source, target):
        return
    before = os.fstat(source)
    space = os.fstatvfs(target)
    if before.st_blocks * 512 > space.f_bavail * space.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(target, before.st_size)
    for start, end in blockio.data_extents(source, 0, before.st_size):
        _copy_range(source, target, start, end)
    after = os.fstat(source)
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise ChangedMeanwhile


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        done = _copy_part(source, target, start, min(_PART, end - start))
        if done == 0:
            raise ChangedMeanwhile  # it has become shorter
        start += done


def _copy_part(source: int, target: int, at: int, length: int) -> int:
    try:
        return os.copy_file_range(source, target, length, at, at)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return os.pwrite(target, os.pread(source, min(length, _BUFFER), at), at)
