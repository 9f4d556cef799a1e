# SPDX-License-Identifier: Apache-2.0
"""Objects as files below one directory: a local disk, or a mounted file system.

A file is written under another name, in the same directory, and renamed; no name ever
leads out of the root, through ``..`` or a link. Data goes to the disk while
more is written, so that little is left to wait for at the end.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from oslo_utils import timeutils, units

from drivers import blockio
from drivers.backup.stores import local_files
from drivers.backup.stores.object_store import PART, Missing, ObjectStore, StoreError
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record

_TEMPORARY = ".new-"
_DIRECTORY_MODE, _FILE_MODE = 0o770, 0o660

_FLUSH = 64 * units.Mi
"""Bytes after which written data is sent to the disk."""

_TRIES = 10

_MAX_OPEN = 64
"""Files that wait for the disk at most."""


class DirectoryStore(ObjectStore):
    """Files below a directory.

    :param root: made where it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._disk = ThreadPoolExecutor(2, "disk")
        self._unsynced: list[tuple[Path, Future[None]]] = []
        self._lock = threading.Lock()

    def check(self) -> None:
        """Write, read and remove a file."""
        marker = secrets.token_bytes(512)
        try:
            self.root.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
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
        found = backup.container
        if not found:
            key = str(backup.id)
            found = os.path.join(key[0:2], key[2:4], key)
        self._path(found)
        return str(found)

    def prefix(self, backup: Record) -> str:
        """Return a name of volume, moment and backup."""
        now = timeutils.utcnow()
        return f"volume_{backup.volume_id}_{now:%Y%m%d%H%M%S}_backup_{backup.id}"

    def prepare(self, container: str) -> None:
        """Make the directory, for its owner and group only."""
        path = self._path(container)
        with _explained("make", path):
            _make(path)
            self._require_inside(path)
            path.chmod(_DIRECTORY_MODE)
            for made in (path, *path.parents):
                _sync(made)
                if made == self.root:
                    break

    def names(self, container: str, prefix: str) -> Mapping[str, int]:
        """Check the directory."""
        path = self._path(container)
        found = {}
        with _explained("list", path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._require_inside(path)
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith(prefix):
                        found[entry.name] = entry.stat(follow_symlinks=False).st_size
        return found

    @contextlib.contextmanager
    def writing(self, container: str, name: str) -> Iterator[_File]:
        """Write a file under another name, and give it its own when all is there."""
        path = self._path(container)
        target, temporary = path / _plain(name), path / f"{_TEMPORARY}{name}-{secrets.token_hex(8)}"
        with _explained("write", target):
            file = _File(temporary, target, self._disk)
        try:
            yield file
            with _explained("write", target):
                os.rename(temporary, target)
        except BaseException:
            file.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        self._sync_later(file, target)

    def reading(self, container: str, name: str) -> Iterator[bytes]:
        """Read a file."""
        path = self._path(container) / _plain(name)
        with _explained("read", path):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            fd = os.open(path, flags)
            with open(fd, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise StoreError(f"{path} is no regular file")
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
                while part := file.read(PART):
                    yield part

    def delete(self, container: str, name: str) -> None:
        """Remove a file."""
        path = self._path(container)
        with _explained("delete", path / _plain(name)), contextlib.suppress(FileNotFoundError):
            os.unlink(path / name)

    def sync(self, container: str, prefix: str) -> None:
        """Wait for the disk."""
        path = self._path(container)
        with self._lock:
            mine: list[tuple[Path, Future[None]]] = []
            others: list[tuple[Path, Future[None]]] = []
            for one in self._unsynced:
                (mine if _is_below(one[0], path, prefix) else others).append(one)
            self._unsynced = others
        try:
            for _target, written in mine:
                written.result()
            with contextlib.suppress(FileNotFoundError):  # its last file went
                _sync(path)
        except OSError as error:
            raise StoreError(f"{path} lost written data: {error.strerror}") from error

    def forget(self, container: str, prefix: str) -> None:
        """Remove directories that are empty now, and what kills left of the backup in them."""
        path = self._path(container)
        for left in self.names(container, f"{_TEMPORARY}{prefix}"):
            self.delete(container, left)
        with contextlib.suppress(OSError):
            while path != self.root:
                path.rmdir()
                path = path.parent
                _sync(path)

    def _sync_later(self, file: _File, target: Path) -> None:
        done = self._disk.submit(file.sync)
        with self._lock:
            self._unsynced.append((target, done))
            late = self._unsynced[-_MAX_OPEN] if len(self._unsynced) >= _MAX_OPEN else None
        if late is not None:
            with contextlib.suppress(OSError):  # checked by sync
                late[1].result()

    def _path(self, container: str) -> Path:
        """Return a container's directory. :raises BackupDriverException: it is outside."""
        parts = container.split("/") if isinstance(container, str) else [".."]
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise BackupDriverException(
                f"the container {container!r:.80} is no directory below {self.root}"
            )
        return self.root.joinpath(*parts)

    def _require_inside(self, path: Path) -> None:
        root, real = self.root.resolve(), path.resolve()
        if root not in real.parents:
            raise BackupDriverException(f"the container {path} leads to {real}, outside of {root}")


class _File:
    """A file that is being written."""

    def __init__(self, path: Path, target: Path, threads: ThreadPoolExecutor) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, _FILE_MODE)
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


def _make(path: Path) -> None:
    """Make a directory; another transfer may remove an empty one above it meanwhile."""
    for _try in range(_TRIES):
        with contextlib.suppress(FileNotFoundError):
            path.mkdir(parents=True, exist_ok=True)
            return
    path.mkdir(parents=True, exist_ok=True)


def _is_below(target: Path, path: Path, prefix: str) -> bool:
    return target.parent == path and target.name.startswith(prefix)


def _plain(name: str) -> str:
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise BackupDriverException(f"{name!r:.120} is no name of an object")
    return name


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(f"{path} is missing") from error
    except OSError as error:
        raise StoreError(f"cannot {action} {path}: {local_files.reason(error)}") from error
