# SPDX-License-Identifier: Apache-2.0
"""Read, write and zero files and block devices at any offset, and find their data extents.

The functions work on a file descriptor. :class:`BlockFile` also accepts file objects
without a descriptor: these are read and written at one offset at a time. The handles that os-brick
makes for images of Ceph are used by the image within them, which also knows its holes.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, BinaryIO

from oslo_utils import units

from drivers import rbd_image

Extent = tuple[int, int]
"""Start and end of a range of bytes."""

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02
_CANNOT_PUNCH = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.EINVAL, errno.EPERM)

_ALIGNMENT = 4096
"""A block device zeroes whole blocks only; no device has larger ones."""

_PUNCH_LENGTH = units.Gi
"""Bytes for one call of fallocate: a block device may zero them one by one."""

_BLOCK = 64 * units.Ki
"""Bytes that :meth:`BlockFile.write_data` leaves out together where all of them are zero."""

_ZEROS = bytes(units.Mi)

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def descriptor(file: Any) -> int | None:
    """Return the descriptor of a file object; None where it has none."""
    try:
        return int(file.fileno())
    except (AttributeError, OSError):
        return None


def data_extents(fd: int, start: int, end: int) -> Iterator[Extent]:
    """Yield the extents between two offsets that are not holes, in order.

    The whole range is one extent where the file system does not know its holes, and on a
    block device.
    """
    at = start
    while at < end:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
            stop = os.lseek(fd, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end of the file
                return
            begin, stop = at, end
        if begin >= end:
            return
        yield begin, min(stop, end)
        at = stop


def read_at(fd: int, length: int, offset: int) -> bytes:
    """Return ``length`` bytes from an offset; fewer only at the end of the file."""
    found = os.pread(fd, length, offset)
    while 0 < len(found) < length:
        more = os.pread(fd, length - len(found), offset + len(found))
        if not more:
            break
        found += more
    return found


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all data at an offset. :raises OSError: a part of it may have been written."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def append(fd: int, data: bytes | memoryview) -> None:
    """Write all data at the file's position. :raises OSError: a part may have been written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def punch_hole(fd: int, offset: int, length: int) -> bool:
    """Make a range of a file or block device read as zeros and give its space back.

    :returns: False where that is not supported; a part of the range may be zeros then.
    :raises OSError: the disk failed.
    """
    for at in range(offset, offset + length, _PUNCH_LENGTH):
        part = min(_PUNCH_LENGTH, offset + length - at)
        if _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, at, part) == 0:
            continue
        number = ctypes.get_errno()
        if number in _CANNOT_PUNCH:
            return False
        raise OSError(number, os.strerror(number))
    return True


def is_zero(data: bytes) -> bool:
    """Return whether all bytes are zero. (A memoryview would be compared byte by byte.)"""
    return data == _zeros(len(data))


@functools.lru_cache(maxsize=4)
def _zeros(length: int) -> bytes:
    return bytes(length)


class BlockFile:
    """A volume as an open file: read, written and zeroed at any offset, by several threads.

    :param file: open in binary mode; for writing only where it is written.
    """

    def __init__(self, file: BinaryIO | Any) -> None:
        self._file = file
        self._fd = descriptor(file)
        self._image = rbd_image.of(file) if self._fd is None else None
        self.name = str(getattr(file, "name", type(file).__name__))
        """Path of the file or device, or the type of the object; for log lines and errors."""
        self._lock = threading.Lock()
        self.size = self._length()
        """Length in bytes."""
        mode = 0 if self._fd is None else os.fstat(self._fd).st_mode
        self._is_regular = stat.S_ISREG(mode)
        self._punches = self._is_regular or stat.S_ISBLK(mode)

    @property
    def is_image(self) -> bool:
        """Whether it is an image of Ceph."""
        return self._image is not None

    @property
    def is_encrypted(self) -> bool:
        """Whether it is encrypted here: sectors that were never written read as noise."""
        return False

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes; fewer only where the file became shorter meanwhile."""
        if self._image is not None:
            return self._image.read(offset, length)
        if self._fd is not None:
            return read_at(self._fd, length, offset)
        with self._lock:
            return self._read_object(offset, length)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all data. :raises OSError: a part of it may have been written."""
        if self._image is not None:
            self._image.write(offset, data)
            return
        if self._fd is None:
            with self._lock:
                self._write_object(offset, memoryview(data))
            return
        # The kernel lets one writer into a regular file; the others would spin for it.
        with self._lock if self._is_regular else nullcontext():
            write_at(self._fd, data, offset)

    def write_data(self, offset: int, data: bytes) -> None:
        """Write the blocks that are not zero, over a range that reads as zeros."""
        view, begin = memoryview(data), None
        for at in range(0, len(data), _BLOCK):
            # A slice is a copy: most blocks are known not to be zero by their first byte.
            if data[at] or not is_zero(data[at : at + _BLOCK]):
                begin = at if begin is None else begin
            elif begin is not None:
                self.write(offset + begin, view[begin:at])
                begin = None
        if begin is not None:
            self.write(offset + begin, view[begin:])

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros, without using space where that is possible."""
        if self._punch(offset, length):
            return
        for at in range(offset, offset + length, len(_ZEROS)):
            self.write(at, memoryview(_ZEROS)[: min(len(_ZEROS), offset + length - at)])

    def clear(self, offset: int, length: int) -> None:
        """Make a range read as zeros; where that takes writing, only data is written over."""
        end = offset + length
        head = min(end, offset + -offset % _ALIGNMENT)
        self._clear(offset, head)
        for start, stop in self.data_extents(head, end):
            if not self._punch(start, stop - start):
                self._clear(start, stop)

    def erase(self, offset: int, length: int) -> None:
        """Make old data of a range unreadable; what is read there then does not matter."""
        self.clear(offset, length)

    def discard(self) -> bool:
        """Make all of it read as zeros by giving its space back.

        :returns: False where that is not supported: it may hold data.
        """
        if self._is_regular and self._fd is not None and os.fstat(self._fd).st_blocks == 0:
            return True
        return self._punch(0, self.size)

    def data_extents(self, start: int, end: int) -> Iterator[Extent]:
        """Yield the extents that are not holes; all of it where holes are not known."""
        if self._fd is not None:
            yield from data_extents(self._fd, start, end)
        elif self._image is not None:
            yield from self._image.data_extents(start, end)
        elif start < end:
            yield start, end

    def has_no_data(self, offset: int, length: int) -> bool:
        """Return whether a range is zeros, or was never written."""
        return is_zero(self.read(offset, length))

    def leave_out_unwritten(self) -> None:
        """Leave sectors that were never written out of :meth:`data_extents` as well.

        Only where they do not read as zeros, so that nobody can rely on them.
        """

    def flush(self) -> None:
        """Make everything that was written survive a power failure."""
        if self._fd is not None:
            os.fsync(self._fd)
        elif hasattr(self._file, "flush"):
            with self._lock:
                self._file.flush()

    def path(self, *, write: bool) -> str | None:
        """Return a path by which another program of this user can open it; None without one."""
        name = getattr(self._file, "name", None)
        if self._fd is None or not isinstance(name, str):
            return None
        wanted = os.R_OK | (os.W_OK if write else 0)
        if not os.access(name, wanted, effective_ids=True):
            return None
        return name if os.path.samestat(os.stat(name), os.fstat(self._fd)) else None

    def _clear(self, start: int, end: int) -> None:
        for at in range(start, end, len(_ZEROS)):
            length = min(len(_ZEROS), end - at)
            if not is_zero(self.read(at, length)):
                self.write(at, memoryview(_ZEROS)[:length])

    def _punch(self, offset: int, length: int) -> bool:
        if self._image is not None:
            self._image.zero(offset, length)
            return True
        if not self._punches or self._fd is None:
            return False
        if not self._is_regular and (offset % _ALIGNMENT or length % _ALIGNMENT):
            return False
        self._punches = punch_hole(self._fd, offset, length)
        return self._punches

    def _read_object(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        found = bytes(self._file.read(length))
        while 0 < len(found) < length:
            more = self._file.read(length - len(found))
            if not more:
                break
            found += more
        return found

    def _write_object(self, offset: int, view: memoryview) -> None:
        self._file.seek(offset)
        while view:
            done = self._file.write(bytes(view))
            view = view[len(view) if done is None else done :]  # RBD handles return None

    def _length(self) -> int:
        if self._image is not None:
            return self._image.size
        if self._fd is None:
            return int(self._file.seek(0, os.SEEK_END))
        return os.lseek(self._fd, 0, os.SEEK_END)
