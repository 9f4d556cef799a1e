# SPDX-License-Identifier: Apache-2.0
"""Pools and their objects, as the module ``rados`` has them."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LIBRADOS_CREATE_EXCLUSIVE = 1


class Error(Exception):
    """Root of the errors."""


class ObjectNotFound(Error):
    """There is no such object, pool or file."""


class ObjectExists(Error):
    """The object is there."""


class ConnectionShutdown(Error):
    """The client was shut out of the cluster."""


class Rados:
    """A client of a cluster."""

    opened = 0
    """Number of connections that are open in this process."""

    def __init__(self, rados_id: str = "", conffile: str = "") -> None:
        if not os.path.exists(conffile):
            raise ObjectNotFound("error calling conf_read_file")
        self.directory = Path(conffile).parent
        self.options: dict[str, str] = {}
        self.name = f"client.{uuid.uuid4()}"
        self._connected = False

    def conf_set(self, name: str, value: str) -> None:
        self.options[name] = value

    def connect(self) -> None:
        self._connected = True
        Rados.opened += 1

    def shutdown(self) -> None:
        if self._connected:
            Rados.opened -= 1
        self._connected = False

    def open_ioctx(self, name: str) -> Ioctx:
        assert self._connected
        path = self.directory / name
        if "/" in name or not path.is_dir():
            raise ObjectNotFound(f"error opening pool {name!r}")
        return Ioctx(path, self.name)


class Ioctx:
    """An open pool.

    :param client: the name of its connection.
    """

    def __init__(self, path: Path, client: str) -> None:
        self.path = path
        self.client = client
        self._objects = path / "objects"

    def shut_out(self, client: str) -> None:
        """Serve a client no more."""
        (self.path.parent / f"no-{client}").touch()

    @property
    def is_shut_out(self) -> bool:
        return (self.path.parent / f"no-{self.client}").exists()

    def close(self) -> None:
        pass

    def stat(self, name: str) -> tuple[int, None]:
        self._check()
        if not (self._objects / name).exists():
            raise ObjectNotFound(name)
        return (self._objects / name).stat().st_size, None

    def read(self, name: str, length: int = 8192, offset: int = 0) -> bytes:
        try:
            return (self._objects / name).read_bytes()[offset : offset + length]
        except FileNotFoundError:
            raise ObjectNotFound(name) from None

    def write_full(self, name: str, data: bytes) -> None:
        with locked(self.path):
            self._check()
            replace(self._objects / name, data)

    def remove_object(self, name: str) -> None:
        if not (self._objects / name).exists():
            raise ObjectNotFound(name)
        with locked(self.path):
            self._check()
            (self._objects / name).unlink()

    def operate_write_op(self, operation: WriteOp, name: str) -> None:
        path = self._objects / name
        with locked(self.path):
            self._check()
            for step in operation.steps:
                step(path)

    def _check(self) -> None:
        if self.is_shut_out:
            raise ConnectionShutdown("[errno 108] shut out")


class WriteOp:
    """Several changes of an object, of which all happen or none: checks come first."""

    def __init__(self) -> None:
        self.steps: list[Callable[[Path], None]] = []

    def new(self, exclusive: int) -> None:
        def check(path: Path) -> None:
            if exclusive == LIBRADOS_CREATE_EXCLUSIVE and path.exists():
                raise ObjectExists(path.name)

        self.steps.append(check)

    def cmpext(self, data: bytes, offset: int) -> None:
        def check(path: Path) -> None:
            if not path.exists():
                raise OSError(errno.ENOENT, "no such object")
            if path.read_bytes()[offset : offset + len(data)] != data:
                raise OSError(errno.EILSEQ, "object content does not match")

        self.steps.append(check)

    def write_full(self, data: bytes) -> None:
        self.steps.append(lambda path: replace(path, data))

    def remove(self) -> None:
        self.steps.append(Path.unlink)


@contextmanager
def write_op_ctx() -> Iterator[WriteOp]:
    """A new operation."""
    yield WriteOp()


_GUARD = threading.Lock()


class Changes:
    """Calls a function before each change of a cluster, which it can prevent by an exception."""

    before: Callable[[], None] = staticmethod(lambda: None)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other threads and processes out of a directory; a kill ends it."""
    with _GUARD:
        Changes.before()
        file = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def replace(path: Path, data: bytes) -> None:
    """Write a file so that a kill leaves the old one or the new one."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.{threading.get_ident()}"
    temporary.write_bytes(data)
    temporary.rename(path)


def module() -> Any:
    """Return the module."""
    return SimpleNamespace(
        Rados=Rados,
        WriteOpCtx=write_op_ctx,
        LIBRADOS_CREATE_EXCLUSIVE=LIBRADOS_CREATE_EXCLUSIVE,
        Error=Error,
        ConnectionShutdown=ConnectionShutdown,
        ObjectNotFound=ObjectNotFound,
        ObjectExists=ObjectExists,
    )
