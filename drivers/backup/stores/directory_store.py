# SPDX-License-Identifier: Apache-2.0
"""Objects as files below one directory: a local disk, or a mounted file system.

A file is written under a temporary name, which begins with the name of its object, in the
same directory, and renamed. Data goes to the disk while more is written, so that little is
left to wait for at the end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from oslo_utils import timeutils, units

from drivers import blockio, own_directories
from drivers.backup.format.layout import is_own_name
from drivers.backup.stores import container_directories, local_files
from drivers.backup.stores.container_directories import ContainerDirectories
from drivers.backup.stores.object_store import PART, Missing, ObjectStore, StoreError
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record

_TEMPORARY = ".new-"
_RANDOM = re.compile(r"-[0-9a-f]{16}")
"""End of a temporary name."""

_FILE_MODE = 0o660
_OBJECT_LIKE = re.compile(r"volume_.*_backup_.*")
"""Names of objects. A container of that name would be in the way of an object."""

_FLUSH = 64 * units.Mi
"""Bytes after which written data is sent to the disk."""

_NO_LINKS = (errno.EPERM, errno.EMLINK, errno.EXDEV, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
"""Errors of a file system without hard links, or of a file that may have no more of them."""

_MAX_OPEN = 64
"""Files that wait for the disk at most."""


class DirectoryStore(ObjectStore):
    """Files below a directory.

    :param root: made where it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._directories = ContainerDirectories(root)
        self._disk = ThreadPoolExecutor(2, "disk")
        self._unsynced: list[tuple[Path, Future[None]]] = []
        self._lock = threading.Lock()

    def check(self) -> None:
        """Write, read and remove a file."""
        marker = secrets.token_bytes(512)
        try:
            own_directories.make(self.root, container_directories.MODE)
            probe = self.root / f"{_TEMPORARY}{secrets.token_hex(8)}"
            probe.write_bytes(marker)
            found = probe.read_bytes()
            probe.unlink()
        except OSError as error:
            raise StoreError(f"backups cannot be kept in {self.root}: {error.strerror}") from error
        if found != marker:
            raise StoreError(f"backups cannot be kept in {self.root}: it loses written data")

    def container(self, backup: Record) -> str:
        """Return the directory of the row, or one made of the backup's id."""
        found = str(backup.container or _default(backup))
        parts = self._directories.parts(found)
        if backup.service_metadata:  # made before, perhaps by Cinder, which takes any name
            return found
        if any(part.startswith(".") for part in parts):
            raise BackupDriverException(f"the container {found!r:.80} is hidden")
        if any(map(_OBJECT_LIKE.fullmatch, parts)):
            text = "is named like an object of a backup"
            raise BackupDriverException(f"the container {found!r:.80} {text}")
        return found

    def containers(self) -> Iterator[str]:
        """Yield all directories below the root, without following links."""
        for place, names, _files in os.walk(self.root):
            names[:] = [name for name in names if not name.startswith(".")]
            yield from (str(Path(place, name).relative_to(self.root)) for name in names)

    def prefix(self, backup: Record) -> str:
        """Return a name of volume, moment and backup."""
        now = timeutils.utcnow()
        return f"volume_{backup.volume_id}_{now:%Y%m%d%H%M%S}_backup_{backup.id}"

    def prepare(self, container: str) -> None:
        """Make the directory, for its owner and group only."""
        with _explained("make", self.root / container):
            if not self.creates_containers:
                try:
                    with self._directories.opened(container):
                        return
                except FileNotFoundError:
                    self.require_creation(container)
            self._directories.make(container)

    def listed(self, container: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Read the directory; directories in it are other containers."""
        with (
            _explained("list", self.root / container),
            contextlib.suppress(FileNotFoundError),
            self._directories.opened(container) as fd,
            os.scandir(fd) as entries,
        ):
            for entry in entries:
                if not entry.name.startswith(prefix) or entry.is_dir(follow_symlinks=False):
                    continue
                try:
                    size = entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:  # removed or renamed meanwhile; others are still there
                    continue
                yield entry.name, size

    @contextlib.contextmanager
    def writing(self, container: str, name: str) -> Iterator[_File]:
        """Write a file under a temporary name, and give it its own when all is there."""
        target, temporary = self.root / container / _plain(name), _temporary_name(name)
        with self._opened_for_writing(container, target) as fd:
            with _explained("write", target):
                file = _File(temporary, fd, target, self._disk)
            try:
                yield file
                with _explained("write", target):
                    os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
            except BaseException:
                file.close()
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=fd)
                raise
        self._sync_later(file, target)

    def reading(self, container: str, name: str) -> Iterator[bytes]:
        """Read a file."""
        path = self.root / container / _plain(name)
        with _explained("read", path):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            with self._directories.opened(container) as directory:
                fd = os.open(name, flags, dir_fd=directory)
            with open(fd, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise StoreError(f"{path} is no regular file")
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
                while part := file.read(PART):
                    yield part

    def copy(self, container: str, name: str, into: str, to: str) -> None:
        """Give a file a second name, or copy it where the file system has no hard links.

        Objects are never changed in place, so both names may have one file.
        """
        target = self.root / into / _plain(to)
        temporary = _temporary_name(to)
        with (
            _explained("copy", self.root / container / _plain(name)),
            self._directories.opened(container) as source,
            self._opened_for_writing(into, target) as fd,
        ):
            if not stat.S_ISREG(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
                raise StoreError(f"{self.root / container / name} is no regular file")
            try:
                os.link(name, temporary, src_dir_fd=source, dst_dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
            else:
                os.rename(temporary, to, src_dir_fd=fd, dst_dir_fd=fd)
                with contextlib.suppress(FileNotFoundError):  # where both were one file already
                    os.unlink(temporary, dir_fd=fd)
                return
        super().copy(container, name, into, to)

    def delete(self, container: str, name: str) -> None:
        """Remove a file; a directory of that name is another container, and stays."""
        with (
            _explained("delete", self.root / container / _plain(name)),
            contextlib.suppress(FileNotFoundError, IsADirectoryError),
            self._directories.opened(container) as fd,
        ):
            os.unlink(name, dir_fd=fd)

    def sync(self, container: str, prefix: str) -> None:
        """Wait for the disk."""
        path = self.root / container
        with self._lock:
            mine: list[tuple[Path, Future[None]]] = []
            others: list[tuple[Path, Future[None]]] = []
            for one in self._unsynced:
                (mine if _is_below(one[0], path, prefix) else others).append(one)
            self._unsynced = others
        try:
            for _target, written in mine:
                written.result()
            with (
                contextlib.suppress(FileNotFoundError),  # its last file went
                self._directories.opened(container) as fd,
            ):
                os.fsync(fd)
        except OSError as error:
            raise StoreError(f"{path} lost written data: {error.strerror}") from error

    def remove_unfinished(self, container: str, prefix: str, backup_id: str = "") -> None:
        """Remove temporary files."""
        for left, _size in self.listed(container, _TEMPORARY):
            if is_own_name(prefix, _object_of(left), backup_id):
                self.delete(container, left)

    def forget(self, backup: Record) -> None:
        """Remove the backup's own directory if it is empty.

        A container that a user has named may be another backup's as well, and stays.
        """
        container = self.container(backup)
        if container != _default(backup):
            return
        with contextlib.suppress(OSError):  # not empty
            self._directories.remove(container)

    def _sync_later(self, file: _File, target: Path) -> None:
        done = self._disk.submit(file.sync)
        with self._lock:
            self._unsynced.append((target, done))
            late = self._unsynced[-_MAX_OPEN] if len(self._unsynced) >= _MAX_OPEN else None
        if late is not None:
            with contextlib.suppress(OSError):  # checked by sync
                late[1].result()

    @contextlib.contextmanager
    def _opened_for_writing(self, container: str, target: Path) -> Iterator[int]:
        """Open a container, and make it again where another program has removed it."""
        with contextlib.ExitStack() as stack:
            with _explained("write", target):
                try:
                    fd = stack.enter_context(self._directories.opened(container))
                except FileNotFoundError:
                    self.prepare(container)
                    fd = stack.enter_context(self._directories.opened(container))
            yield fd


class _File:
    """A file that is being written."""

    def __init__(
        self, temporary: str, directory: int, target: Path, threads: ThreadPoolExecutor
    ) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(temporary, flags, _FILE_MODE, dir_fd=directory)
        self._target = target
        self._threads = threads
        self._written = 0
        self._flushed = 0
        self._flushing: Future[None] | None = None
        os.fchmod(self._fd, _FILE_MODE)  # whatever the mask of the process says

    def write(self, data: bytes | memoryview) -> None:
        """Append data."""
        with _explained("write", self._target):
            blockio.append(self._fd, data)
        self._written += len(data)
        if self._written - self._flushed >= _FLUSH and self._idle():
            self._flushed = self._written
            self._flushing = self._threads.submit(os.fdatasync, self._fd)

    def sync(self) -> None:
        """See that all of it is on disk."""
        try:
            os.fsync(self._fd)
        finally:
            os.close(self._fd)

    def close(self) -> None:
        """Give it up."""
        if self._flushing is not None:
            self._flushing.exception()
        os.close(self._fd)

    def _idle(self) -> bool:
        return self._flushing is None or self._flushing.done()


def _default(backup: Record) -> str:
    """Return the container of a backup that names none: a directory of its own."""
    key = str(backup.id)
    return "/".join((key[0:2], key[2:4], key))


def _temporary_name(name: str) -> str:
    return f"{_TEMPORARY}{name}-{secrets.token_hex(8)}"


def _object_of(temporary: str) -> str:
    """Return the name of the object of a temporary file; an empty text for any other file."""
    name, end = temporary.removeprefix(_TEMPORARY)[:-17], temporary[-17:]
    return name if _RANDOM.fullmatch(end) else ""


def _is_below(target: Path, path: Path, prefix: str) -> bool:
    return target.parent == path and target.name.startswith(prefix)


def _plain(name: str) -> str:
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise BackupDriverException(f"{name!r:.120} is no name of an object")
    return name


@contextlib.contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(f"{path} is missing") from error
    except OSError as error:
        raise StoreError(f"cannot {action} {path}: {local_files.reason(error)}") from error
