# SPDX-License-Identifier: Apache-2.0
"""The connection to the database: short transactions, repeated when it is away.

Statements are SQLAlchemy Core: an operation is five of them, and sessions and
objects would cost more than the statements.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import api as db_api
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import enginefacade

from flows.errors import Unavailable

LOG = logging.getLogger(__name__)

SQLITE_BUSY_TIMEOUT = 30.0
"""How long one process waits for another one's transaction, in seconds."""

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


class Database:
    """One database, for one process.

    :param connection: an SQLAlchemy URL.
    :param options: keyword arguments of oslo.db's enginefacade ``configure``.
    :param retries: how often a transaction is repeated while the database is away.
    :param interval: seconds before the first repetition; it grows up to ``interval_max``.
    """

    def __init__(
        self,
        connection: str,
        *,
        retries: int = 20,
        interval: float = 1.0,
        interval_max: float = 10.0,
        **options: Any,
    ) -> None:
        self._url = sa.engine.make_url(connection)
        self._options = options
        self._engine_made: sa.Engine | None = None
        self._lock = threading.Lock()
        self._away_since: float | None = None
        self._retry = db_api.wrap_db_retry(
            max_retries=retries,
            retry_interval=interval,
            max_retry_interval=interval_max,
            inc_retry_interval=True,
            retry_on_disconnect=True,
            retry_on_deadlock=True,
        )

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Database:
        """Read ``[database]``."""
        section = conf.database
        return cls(
            section.connection,
            retries=section.db_max_retries if section.db_max_retries >= 0 else 10**9,
            interval=section.db_retry_interval,
            interval_max=section.db_max_retry_interval,
            max_pool_size=section.max_pool_size,
            max_overflow=section.max_overflow,
            pool_timeout=section.pool_timeout,
            connection_recycle_time=section.connection_recycle_time,
            connection_parameters=section.connection_parameters,
        )

    @property
    def engine(self) -> sa.Engine:
        """The engine; made when it is first used, so after a fork."""
        with self._lock:
            if self._engine_made is None:
                self._engine_made = self._make()
            return self._engine_made

    def dispose(self) -> None:
        """Close all connections."""
        with self._lock:
            if self._engine_made is not None:
                self._engine_made.dispose()
                self._engine_made = None

    def write(self, work: Work[T]) -> T:
        """Run work in one transaction, and all of it again when that is lost.

        :raises Unavailable: the database stayed away.
        """
        return self._insist(lambda: self._transaction(work))

    def read(self, work: Work[T]) -> T:
        """Run work that only reads. :raises Unavailable: the database stayed away."""
        return self._insist(lambda: self._connection(work))

    def _transaction(self, work: Work[T]) -> T:
        with self.engine.begin() as connection:
            return work(connection)

    def _connection(self, work: Work[T]) -> T:
        with self.engine.connect() as connection:
            return work(connection)

    def _insist(self, attempt: Callable[[], T]) -> T:
        try:
            answer: T = attempt()
        except (db_exception.DBConnectionError, db_exception.DBDeadlock) as error:
            self._note(error)
            answer = self._again(attempt)
        if self._away_since is not None:
            self._back()
        return answer

    def _again(self, attempt: Callable[[], T]) -> T:
        try:
            answer: T = self._retry(attempt)()
        except db_exception.DBConnectionError as error:
            raise Unavailable(f"database {self._shown()} is away: {_reason(error)}") from error
        return answer

    def _note(self, error: Exception) -> None:
        if isinstance(error, db_exception.DBDeadlock):
            return
        with self._lock:
            if self._away_since is None:
                self._away_since = time.monotonic()
                LOG.warning("database away: %s: %s", self._shown(), _reason(error))

    def _back(self) -> None:
        with self._lock:
            if self._away_since is not None:
                LOG.info("database back after %.1f s", time.monotonic() - self._away_since)
                self._away_since = None

    def _shown(self) -> str:
        return self._url.render_as_string(hide_password=True)

    def _make(self) -> sa.Engine:
        sqlite = self._url.get_backend_name() == "sqlite"
        if sqlite and self._url.database:
            _to_write_ahead(self._url.database)
        facade = enginefacade.transaction_context()
        facade.configure(
            connection=self._url.render_as_string(hide_password=False),
            sqlite_fk=True,
            max_retries=0,
            **_known(self._options),
        )
        engine = facade.writer.get_engine()
        # A lost connection is noticed by the statement itself and its transaction is
        # repeated, so asking before each one would be a statement for nothing.
        engine.pool._pre_ping = False
        if sqlite:
            sa.event.listen(engine, "connect", _wait_for_others)
        return engine


def _known(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _to_write_ahead(path: str) -> None:
    # oslo.db opens a transaction at once, in which the mode cannot be changed.
    connection = sqlite3.connect(path, isolation_level=None, timeout=SQLITE_BUSY_TIMEOUT)
    connection.execute("PRAGMA journal_mode=wal")
    connection.close()


def _wait_for_others(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={int(SQLITE_BUSY_TIMEOUT * 1000)}")


def _reason(error: Exception) -> str:
    cause = getattr(error, "inner_exception", None) or error
    return str(getattr(cause, "orig", None) or cause).splitlines()[0]
