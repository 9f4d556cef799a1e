# SPDX-License-Identifier: Apache-2.0
"""Sparse files in one directory: made whole or not at all, never outside of it.

Every file is reached through the directory's descriptor and without following
links, so neither a name nor a link leads out. A file is written under a
temporary name, flushed, and renamed: a crash leaves the old file or the new one,
and a leftover that nobody holds, which :meth:`Directory.sweep` removes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

FICLONE = 0x40049409
"""Linux: share all extents of one file with another (ioctl_ficlone)."""

_TEMPORARY = ".new-"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_CHUNK = 64 * 1024 * 1024
"""Bytes per system call of a copy; the call can be interrupted in between."""

_NO_REFLINK = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}


class UnsafeName(ValueError):
    """A name that is no plain file name, or a file that is no regular file."""


class Directory:
    """A directory of volume files.

    :param path: made when it is missing, for its owner only.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path.resolve()
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def location(self, name: str) -> str:
        """Return the absolute path of a file. :raises UnsafeName: it is not one of ours."""
        with self.opened(name):
            return str(self.path / _plain(name))

    def size(self, name: str) -> int:
        """Return a file's length in bytes. :raises FileNotFoundError: there is none."""
        with self.opened(name) as fd:
            return os.fstat(fd).st_size

    def sizes(self) -> dict[str, int]:
        """Return the lengths of all files in bytes."""
        found = {}
        for name in os.listdir(self._fd):
            if _NAME.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):
                    entry = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
                    if stat.S_ISREG(entry.st_mode):
                        found[name] = entry.st_size
        return found

    def space(self) -> tuple[int, int]:
        """Return bytes of the file system: all, and free for us."""
        found = os.fstatvfs(self._fd)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize

    def create(self, name: str, size: int) -> None:
        """Make an empty sparse file of a length in bytes."""
        self._make(name, lambda fd: os.ftruncate(fd, size))

    def copy(self, source: str, name: str, size: int | None = None) -> None:
        """Make a file with another one's data.

        Extents are shared where the file system can; else only data is copied and
        holes stay holes. The copy runs without the interpreter's lock.

        :param size: length in bytes if it is not the source's.
        """
        with self.opened(source) as from_fd:

            def fill(fd: int) -> None:
                copy_sparse(from_fd, fd)
                if size is not None:
                    os.ftruncate(fd, size)

            self._make(name, fill)

    def grow(self, name: str, size: int) -> None:
        """Lengthen a file to at least a number of bytes."""
        with self.opened(name, os.O_RDWR) as fd:
            if os.fstat(fd).st_size < size:
                os.ftruncate(fd, size)
                os.fsync(fd)

    def remove(self, name: str) -> None:
        """Remove a file; absence is success.

        Its blocks go back to the file system, which hands them out zeroed.
        """
        try:
            os.unlink(_plain(name), dir_fd=self._fd)
        except FileNotFoundError:
            return
        os.fsync(self._fd)

    def sweep(self) -> list[str]:
        """Remove what interrupted calls left, and return the names.

        The file of a call that still runs, in whichever process, is locked by it.
        """
        removed = []
        for name in os.listdir(self._fd):
            if not name.startswith(_TEMPORARY):
                continue
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name, dir_fd=self._fd)
                    removed.append(name)
                finally:
                    os.close(fd)
        return removed

    @contextlib.contextmanager
    def opened(self, name: str, flags: int = os.O_RDONLY) -> Iterator[int]:
        """Open a regular file of ours. :raises UnsafeName: a link or something else."""
        try:
            fd = os.open(_plain(name), flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UnsafeName(f"{name} is a link, which may lead anywhere") from error
            raise
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UnsafeName(f"{name} is no regular file")
            yield fd
        finally:
            os.close(fd)

    def _make(self, name: str, fill: Callable[[int], None]) -> None:
        final = _plain(name)
        with self._temporary() as (fd, temporary):
            fill(fd)
            os.fsync(fd)
            os.rename(temporary, final, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        os.fsync(self._fd)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[tuple[int, str]]:
        while True:
            name = _TEMPORARY + secrets.token_hex(8)
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            fd = os.open(name, flags, 0o600, dir_fd=self._fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if self._is(name, fd):
                break
            os.close(fd)  # another process swept it before it was locked
        try:
            yield fd, name
        finally:
            if self._is(name, fd):
                os.unlink(name, dir_fd=self._fd)
            os.close(fd)

    def _is(self, name: str, fd: int) -> bool:
        try:
            entry = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(entry, os.fstat(fd))


def copy_sparse(source: int, target: int) -> None:
    """Copy a whole file into an empty one, by sharing extents or data by data."""
    try:
        fcntl.ioctl(target, FICLONE, source)
        return
    except OSError as error:
        if error.errno not in _NO_REFLINK:
            raise
    end = os.fstat(source).st_size
    os.ftruncate(target, end)
    at = 0
    while at < end:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole to the end
                return
            raise
        at = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, at)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        length = min(_CHUNK, end - start)
        try:
            done = os.copy_file_range(source, target, length, start, start)
        except OSError as error:
            if error.errno not in _NO_REFLINK:
                raise
            done = os.pwrite(target, os.pread(source, min(length, 1 << 20), start), start)
        if done == 0:  # the source became shorter
            return
        start += done


def _plain(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 255:
        raise UnsafeName(f"{name!r} is no plain file name")
    return name
