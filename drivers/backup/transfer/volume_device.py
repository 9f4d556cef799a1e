# SPDX-License-Identifier: Apache-2.0
"""The volume that a backup is read from, or restored to, as an open file.

Files and devices are read and written at several places at once. What is a file only
by its methods, as some connections give it, is read and written one place at a time.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, BinaryIO

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02
_NO_HOLES = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.EINVAL)

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

_ZEROS = bytes(1024 * 1024)


class Device:
    """A volume that is read, or written, at any place.

    :param file: open, in binary mode.
    """

    def __init__(self, file: BinaryIO | Any) -> None:
        self._file = file
        self._fd = _descriptor(file)
        self._one = threading.Lock()
        self.size = self._end()
        """Bytes from its begin to its end."""
        self._punches = self._fd is not None and stat.S_ISREG(os.fstat(self._fd).st_mode)

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes; fewer only where it has become shorter meanwhile."""
        if self._fd is None:
            with self._one:
                self._file.seek(offset)
                return bytes(self._file.read(length))
        found = os.pread(self._fd, length, offset)
        while 0 < len(found) < length:
            more = os.pread(self._fd, length - len(found), offset + len(found))
            if not more:
                break
            found += more
        return found

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write data. :raises OSError: it was not written, or not all of it."""
        if self._fd is None:
            with self._one:
                self._file.seek(offset)
                self._file.write(bytes(data))
            return
        view = memoryview(data)
        # A file takes one writer at a time; the kernel has the others wait for it busily.
        with self._one if self._punches else nullcontext():
            while view:
                done = os.pwrite(self._fd, view, offset)
                view, offset = view[done:], offset + done

    def clear(self, offset: int, length: int) -> None:
        """Make a part read as zeros, without taking space where that can be had."""
        if self._punches:
            assert self._fd is not None
            if _fallocate(self._fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) == 0:
                return
            number = ctypes.get_errno()
            if number not in _NO_HOLES:
                raise OSError(number, os.strerror(number))
            self._punches = False
        for at in range(offset, offset + length, len(_ZEROS)):
            self.write(at, memoryview(_ZEROS)[: min(len(_ZEROS), offset + length - at)])

    def flush(self) -> None:
        """See that what was written outlives the machine."""
        if self._fd is not None:
            os.fsync(self._fd)
        elif hasattr(self._file, "flush"):
            with self._one:
                self._file.flush()

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield begin and end of each part that is no hole; all where holes are not known."""
        if self._fd is None:
            if start < end:
                yield start, end
            return
        at = start
        while at < end:
            try:
                begin = os.lseek(self._fd, at, os.SEEK_DATA)
                stop = os.lseek(self._fd, begin, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                begin, stop = at, end
            if begin >= end:
                return
            yield begin, min(stop, end)
            at = stop

    def _end(self) -> int:
        if self._fd is None:
            return int(self._file.seek(0, os.SEEK_END))
        return os.lseek(self._fd, 0, os.SEEK_END)


def _descriptor(file: Any) -> int | None:
    try:
        return int(file.fileno())
    except (AttributeError, OSError):
        return None
