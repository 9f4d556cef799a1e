# SPDX-License-Identifier: Apache-2.0
"""Sparse files in one directory: made whole or not at all, never outside of it.

Every file is reached through the directory's descriptor and without following
links, so neither a name nor a link leads out. A file is written under a
temporary name, flushed, and renamed: a crash leaves the old file or the new one,
and an orphaned file, which :meth:`Directory.sweep` removes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from drivers import own_directories
from drivers.volume import sparse_copy

_TEMPORARY = ".new-"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,254}")


class _NotSharedError(Exception):
    """The file system cannot share data between two files."""


class UnsafeName(ValueError):
    """A name that is no plain file name, or a file that is no regular file."""


class Directory:
    """A directory of volume files.

    :param path: made when it is missing, for its owner only. If it is ours and everybody may
        write, that is taken from it: others could replace the files of volumes.
    """

    def __init__(self, path: Path) -> None:
        own_directories.make(path)
        self.path = path.resolve()
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        # A driver that did not come up is thrown away, and tried anew for ever.
        weakref.finalize(self, os.close, self._fd)
        _close_to_others(self._fd)

    def location(self, name: str) -> str:
        """Return the absolute path of a file. :raises UnsafeName: it is not one of ours."""
        with self.opened(name):
            return str(self.path / name)

    def exists(self, name: str) -> bool:
        """Return whether a file is there. :raises UnsafeName: it is not one of ours."""
        try:
            with self.opened(name):
                return True
        except FileNotFoundError:
            return False

    def size(self, name: str) -> int:
        """Return a file's length in bytes. :raises FileNotFoundError: there is none."""
        with self.opened(name) as fd:
            return os.fstat(fd).st_size

    def names(self) -> list[str]:
        """Return the names of all files, unordered."""
        return [name for name in os.listdir(self._fd) if _NAME.fullmatch(name)]

    def entries(self) -> dict[str, os.stat_result]:
        """Return the stat result of each file."""
        found = {}
        for name in self.names():
            with contextlib.suppress(FileNotFoundError):
                entry = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
                if stat.S_ISREG(entry.st_mode):
                    found[name] = entry
        return found

    def space(self) -> tuple[int, int, int]:
        """Return bytes of the file system: all, in use, and free for us."""
        found = os.fstatvfs(self._fd)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        return found.f_blocks * found.f_frsize, used, found.f_bavail * found.f_frsize

    def create(self, name: str, size: int) -> None:
        """Make an empty sparse file of a length in bytes; one of that name is replaced."""
        self._make(name, lambda fd: os.ftruncate(fd, size))

    def copy(self, source: str, name: str, size: int | None = None) -> None:
        """Make a file with another one's data; one of that name is replaced.

        :param size: length in bytes, at least the source's, which it is by default.
        :raises ChangedMeanwhile: as :func:`sparse.copy`; nothing was made.
        """
        with self.opened(source) as from_fd:

            def fill(fd: int) -> None:
                sparse_copy.copy(from_fd, fd)
                if size is not None:
                    os.ftruncate(fd, size)

            self._make(name, fill)

    def share(self, source: int, name: str, size: int) -> bool:
        """Make a file that shares the data of another, which may be of another directory.

        :param source: descriptor of that file.
        :param size: length in bytes.
        :returns: False, with nothing made, where the file system cannot, or it is longer.
        """
        if os.fstat(source).st_size > size:
            return False

        def fill(fd: int) -> None:
            if not sparse_copy.share(source, fd):
                raise _NotSharedError
            os.ftruncate(fd, size)

        try:
            self._make(name, fill)
        except _NotSharedError:
            return False
        return True

    def grow(self, name: str, size: int) -> bool:
        """Lengthen a file to at least a number of bytes; say whether it was shorter."""
        with self.opened(name, os.O_RDWR) as fd:
            grows = os.fstat(fd).st_size < size
            if grows:
                os.ftruncate(fd, size)
            os.fsync(fd)
        return grows

    def rename(self, old: str, new: str) -> None:
        """Give a file another name; one that has it already is left as it is.

        :raises FileExistsError: another file has the new name.
        """
        if old == new:
            return
        with self.opened(old):
            if self.exists(new):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
            os.rename(_plain(old), _plain(new), src_dir_fd=self._fd, dst_dir_fd=self._fd)
        os.fsync(self._fd)

    def move(self, name: str, place: Path) -> bool:
        """Rename a file into another directory, and say whether it is there.

        One that is there, and not here any more, was moved before.

        :returns: False, with nothing changed, where that is no directory of this file system.
        :raises FileExistsError: another file has its name there.
        """
        try:
            fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            if _is_in(fd, name) and not os.path.samestat(os.fstat(fd), os.fstat(self._fd)):
                if self.exists(name):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            else:
                with self.opened(name):
                    os.rename(name, name, src_dir_fd=self._fd, dst_dir_fd=fd)
            os.fsync(fd)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return False
            raise
        finally:
            os.close(fd)
        os.fsync(self._fd)
        return True

    def remove(self, name: str) -> None:
        """Remove a file; absence is success. :raises UnsafeName: it is not one of ours.

        Its blocks go back to the file system, which shows zeros to the next owner
        them next; and a later file of that name is always a new one.
        """
        if not self.exists(name):
            os.fsync(self._fd)  # an interrupted try may have removed it a moment ago
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)
        os.fsync(self._fd)

    def sweep(self) -> list[str]:
        """Remove the remains of interrupted calls, and return the names.

        The file of a call that still runs, in whichever process, is locked by it.
        """
        found = [name for name in os.listdir(self._fd) if name.startswith(_TEMPORARY)]
        return [name for name in found if self._sweep(name)]

    def probe(self) -> bool:
        """Write, read and remove a file; say whether two files can share data.

        :raises OSError: the directory cannot hold volumes.
        """
        marker = secrets.token_bytes(4096)
        with self._temporary() as (fd, _), self._temporary() as (other, _):
            os.pwrite(fd, marker, 0)
            os.fsync(fd)
            if os.pread(fd, len(marker), 0) != marker:
                raise OSError(errno.EIO, "it does not keep written data")
            return sparse_copy.share(fd, other)

    @contextlib.contextmanager
    def opened(self, name: str, flags: int = os.O_RDONLY) -> Iterator[int]:
        """Open a regular file of ours. :raises UnsafeName: a link or something else."""
        # O_NONBLOCK: a pipe of that name would otherwise wait for its other end.
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(_plain(name), flags, dir_fd=self._fd)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UnsafeName(f"{name} is a link, which may lead anywhere") from error
            if error.errno in (errno.EISDIR, errno.ENXIO):
                raise UnsafeName(f"{name} is no regular file") from error
            raise
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UnsafeName(f"{name} is no regular file")
            yield fd
        finally:
            os.close(fd)

    def _make(self, name: str, fill: Callable[[int], None]) -> None:
        self.exists(name)  # refuses to replace a file that is not ours
        with self._temporary() as (fd, temporary):
            fill(fd)
            os.fsync(fd)
            os.rename(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        os.fsync(self._fd)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[tuple[int, str]]:
        """Make a file that a sweep leaves alone; unless it is renamed, it goes at the end."""
        while True:
            name = _TEMPORARY + secrets.token_hex(8)
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            fd = os.open(name, flags, 0o600, dir_fd=self._fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if self._is(name, fd):
                break
            os.close(fd)  # swept before it was locked
        try:
            yield fd, name
        finally:
            if self._is(name, fd):
                os.unlink(name, dir_fd=self._fd)
            os.close(fd)

    def _sweep(self, name: str) -> bool:
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, dir_fd=self._fd)
        except OSError:  # gone meanwhile, or nothing that we made
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its maker may have renamed it between our open and our lock.
            if not self._is(name, fd):
                return False
            os.unlink(name, dir_fd=self._fd)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def _is(self, name: str, fd: int) -> bool:
        try:
            entry = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(entry, os.fstat(fd))


def _is_in(directory: int, name: str) -> bool:
    try:
        os.stat(_plain(name), dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _plain(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UnsafeName(f"{name!r} is no plain file name")
    return name


def _close_to_others(fd: int) -> None:
    found = os.fstat(fd)
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == os.geteuid() and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        os.fchmod(fd, mode & ~stat.S_IWOTH)
