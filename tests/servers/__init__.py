# SPDX-License-Identifier: Apache-2.0
"""Private RabbitMQ, MariaDB, PostgreSQL, Glance, S3, Swift and Barbican for tests, benchmarks.

Each runs on a free loopback port in a temporary directory, is started when it is
first asked for, and is gone at the end. Nothing here needs pytest::

    with Servers() as servers:
        bus = servers.broker.vhost()
        database = servers.mariadb.database()
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tests.servers.glance import Glance
from tests.servers.keys.real_barbican import Barbican
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.servers.process import PATIENCE, Process, alive, free_port, listens, patient, until
from tests.servers.rabbitmq import Broker
from tests.servers.s3 import S3
from tests.servers.server import Server, find
from tests.servers.swift import Swift

__all__ = [
    "PATIENCE",
    "S3",
    "Barbican",
    "Broker",
    "Glance",
    "MariaDB",
    "PostgreSQL",
    "Process",
    "Server",
    "Servers",
    "Swift",
    "alive",
    "find",
    "free_port",
    "listens",
    "patient",
    "until",
]

AnyServer = TypeVar("AnyServer", bound=Server)


_PLACE = tempfile.gettempdir()
"""As it is before any test: one may have a directory of temporary files of its own."""


class Servers:
    """The servers of one test run; each starts when it is first asked for.

    :param durable: whether commits reach the disk, as in production.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="holdfast-", dir=_PLACE))
        # PostgreSQL runs as another user, below this directory.
        self.directory.chmod(0o755)
        self._durable = durable
        self._started: list[Server] = []
        atexit.register(self.close)

    @functools.cached_property
    def broker(self) -> Broker:
        """The running RabbitMQ."""
        return self._start(Broker(self.directory / "rabbitmq"))

    @functools.cached_property
    def mariadb(self) -> MariaDB:
        """The running MariaDB."""
        return self._start(MariaDB(self.directory / "mariadb", durable=self._durable))

    @functools.cached_property
    def postgresql(self) -> PostgreSQL:
        """The running PostgreSQL."""
        return self._start(PostgreSQL(self.directory / "postgresql", durable=self._durable))

    @functools.cached_property
    def glance(self) -> Glance:
        """The running Glance."""
        return self._start(Glance(self.directory / "glance"))

    @functools.cached_property
    def s3(self) -> S3:
        """The running store of objects."""
        return self._start(S3(self.directory / "s3"))

    @functools.cached_property
    def swift(self) -> Swift:
        """The running Swift."""
        return self._start(Swift(self.directory / "swift"))

    @functools.cached_property
    def barbican(self) -> Barbican:
        """The running Barbican."""
        return self._start(Barbican(self.directory / "barbican"))

    def close(self) -> None:
        """Stop whatever runs and remove its files."""
        while self._started:
            self._started.pop().close()
        shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, server: AnyServer) -> AnyServer:
        missing = server.missing()
        if missing:
            raise RuntimeError(f"{server.name} is not installed: no {', '.join(missing)}")
        self._started.append(server)
        server.start()
        return server
