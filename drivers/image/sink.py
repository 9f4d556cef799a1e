# SPDX-License-Identifier: Apache-2.0
"""A volume's file or device that is written from its begin; what is zero takes no space."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from types import TracebackType

_BLOCK = 64 * 1024
"""Bytes that are left out together when all of them are zero."""

_ZEROS = bytes(_BLOCK)
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class ImageSink:
    """Writes data to a path that is there, and nothing else is left in it.

    :param size: how long it is, in bytes.
    """

    def __init__(self, path: str, size: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._size = size
        self._at = 0
        self._clear = stat.S_ISREG(os.fstat(self._fd).st_mode) and _empty(self._fd, size)

    def __enter__(self) -> ImageSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def write(self, data: bytes) -> None:
        """Write further data. :raises OSError: it does not fit, or the disk does not take it."""
        if self._at + len(data) > self._size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK):
            block = view[start : start + _BLOCK]
            if not self._clear or block != _ZEROS[: len(block)]:
                _write(self._fd, block, self._at + start)
        self._at += len(data)

    def finish(self) -> None:
        """Write zeros to the end where old data could be, and flush."""
        while not self._clear and self._at < self._size:
            block = _ZEROS[: min(_BLOCK, self._size - self._at)]
            _write(self._fd, memoryview(block), self._at)
            self._at += len(block)
        os.fsync(self._fd)


def _write(fd: int, block: memoryview, at: int) -> None:
    while block:
        done = os.pwrite(fd, block, at)
        block, at = block[done:], at + done


def _empty(fd: int, size: int) -> bool:
    """Make a file read as zeros; say whether that could be done."""
    if os.fstat(fd).st_blocks == 0:
        return True
    if _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, 0, size) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number))
