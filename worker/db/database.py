# SPDX-License-Identifier: Apache-2.0
"""The connection to the database: short transactions, repeated when it is away.

Statements are SQLAlchemy Core: an operation is five of them, and sessions and
objects would cost more than the statements. Engines come from oslo.db's
enginefacade, with the additions of :mod:`worker.db.tuning`.
"""

from __future__ import annotations

import functools
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import options as db_options
from oslo_db.sqlalchemy import enginefacade

from worker import database_sessions, database_url
from worker.compat.pymysql import share_tls_context
from worker.db import tuning
from worker.db.commit import Transaction
from worker.db.error_kinds import ERRORS, kind_of
from worker.db.outage import Outages
from worker.db.row_statements import packed_row
from worker.db.row_statements.prepared_statement import PreparedStatement

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

_DEFAULTS = {opt.dest: opt.default for opt in db_options.database_opts}

_NOT_FOR_ENGINES = re.compile(
    "backend|(.+_)?connection|use_db_reconnect|db_.+|max_retries|retry_interval|synchronous_reader"
)
"""Options that only we read, or none."""


class Database:
    """One database, for one process; connects when it is first asked.

    :param connection: an SQLAlchemy URL.
    :param options: further options of ``[database]``, by their names. A replica
        (``slave_connection``) is not used: a status read from it may be old.
        ``max_retries`` of the start are the same as ``db_max_retries`` later.
    """

    def __init__(self, connection: str, **options: Any) -> None:
        if unknown := options.keys() - _DEFAULTS.keys():
            raise TypeError(f"[database] has no option {', '.join(sorted(unknown))}")
        self._url = database_url.parse(connection)
        self._options = {**_DEFAULTS, **options}
        self._lock = threading.Lock()
        self._engines: tuple[sa.Engine, sa.Engine] | None = None
        self._process = os.getpid()
        self._outages = Outages(
            self.shown,
            retries=self._options["db_max_retries"],
            pause=self._options["db_retry_interval"],
            pause_max=self._options["db_max_retry_interval"],
            growing=self._options["db_inc_retry_interval"],
        )

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Database:
        """Read ``[database]``."""
        section = {name: conf.database[name] for name in _DEFAULTS}
        return cls(section.pop("connection"), **section)

    @property
    def shown(self) -> str:
        """The address without password and parameters, for logs."""
        return self._url.set(query={}).render_as_string(hide_password=True)

    @property
    def is_away(self) -> bool:
        """Whether an outage is known; asks nothing."""
        return self._outages.is_away

    @property
    def packs_rows(self) -> bool:
        """Whether a single wide row is better read as one value (see ``packed_row``)."""
        return packed_row.is_worth_it(self._url)

    @property
    def engine(self) -> sa.Engine:
        """The engine for transactions."""
        return (self._engines or self._start())[0]

    @contextmanager
    def writer(self) -> Iterator[sa.Connection]:
        """Open a transaction that is not repeated; ``write`` repeats."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reader(self) -> Iterator[sa.Connection]:
        """Open a connection to read from; each statement sees the data committed by then."""
        with (self._engines or self._start())[1].connect() as connection:
            yield connection

    def write(self, work: Work[T], *, retry_outages: bool = True) -> T:
        """Run work in one transaction, and all of it again when that is lost.

        A transaction whose commit took effect, and only its answer was lost, counts once,
        if its work calls :func:`worker.db.commit.stop_if_committed` where it finds its rows
        changed, as :class:`worker.db.records.base.ResourceRows` does.

        :param retry_outages: whether to repeat it until an outage has ended.
        :raises Unavailable: the database did not answer.
        """
        return self._retried(Transaction(lambda: self.engine, work), retry_outages)

    def read(self, work: Work[T]) -> T:
        """Run work that only reads. :raises Unavailable: the database did not answer."""
        return self._retried(functools.partial(self._reading, work), True)

    def rows(
        self,
        statement: sa.Select[Any] | PreparedStatement,
        parameters: Mapping[str, Any] | None = None,
    ) -> Sequence[Any]:
        """Return all rows of one query; plain sequences of a prepared one.

        :raises Unavailable: the database did not answer.
        """
        return self.read(functools.partial(_all, statement, parameters or {}))

    def change(
        self,
        statement: sa.UpdateBase | PreparedStatement,
        parameters: Mapping[str, Any],
        *,
        retry_outages: bool = True,
    ) -> int:
        """Run one statement that is a transaction by itself and return how many rows it met.

        A connection that is lost under it makes it run again, so it must bear that.

        :raises Unavailable: the database did not answer.
        """
        work = functools.partial(_count, statement, parameters)
        if self._url.get_backend_name() == "sqlite":
            return self.write(work, retry_outages=retry_outages)
        return self._retried(functools.partial(self._reading, work), retry_outages)

    def only_read(self) -> None:
        """Have the database refuse to change anything from now on; before the first query."""
        for engine in {id(one): one for one in self._engines or self._start()}.values():
            database_sessions.only_read(engine)
            engine.dispose()  # of the connection that was made to try it

    def give_up(self) -> None:
        """Stop waiting for a database that is away, because the process stops."""
        self._outages.give_up()

    def dispose(self) -> None:
        """Close all connections; in a forked child, forget the parent's without closing them."""
        with self._lock:
            ours = self._process == os.getpid()
            for engine in self._engines or ():
                engine.dispose(close=ours)
            self._engines = None
            self._process = os.getpid()

    def _reading(self, work: Work[T]) -> T:
        with (self._engines or self._start())[1].connect() as connection:
            return work(connection)

    def _retried(self, attempt: Callable[[], T], retry_outages: bool) -> T:
        try:
            answer = attempt()
        except ERRORS as error:
            if kind_of(error) is None:
                raise
            answer = self._outages.persist(attempt, error, retry_outages=retry_outages)
        self._outages.over()
        return answer

    def _start(self) -> tuple[sa.Engine, sa.Engine]:
        with self._lock:
            if self._engines is None:
                self._engines = self._make()
            return self._engines

    def _make(self) -> tuple[sa.Engine, sa.Engine]:
        if tuning.is_sqlite(self._url) and not tuning.is_memory(self._url):
            _to_write_ahead(str(self._url.database))
        share_tls_context()
        options = {k: v for k, v in self._options.items() if not _NOT_FOR_ENGINES.fullmatch(k)}
        facade = enginefacade.transaction_context()
        facade.configure(
            connection=tuning.for_writing(self._url),
            # SQLite in memory is one connection, so one engine serves both.
            slave_connection=None if tuning.is_memory(self._url) else tuning.for_single(self._url),
            synchronous_reader=True,
            sqlite_fk=True,
            max_retries=0,  # the first statement waits as every other does
            thread_checkin=False,
            **options,
        )
        return facade.writer.get_engine(), facade.reader.get_engine()


def _all(
    statement: sa.Select[Any] | PreparedStatement,
    parameters: Mapping[str, Any],
    connection: sa.Connection,
) -> Sequence[Any]:
    if isinstance(statement, PreparedStatement):
        return statement.rows(connection, parameters)
    return connection.execute(statement, parameters).all()


def _count(
    statement: sa.UpdateBase | PreparedStatement,
    parameters: Mapping[str, Any],
    connection: sa.Connection,
) -> int:
    if isinstance(statement, PreparedStatement):
        return statement.count(connection, parameters)
    return connection.execute(statement, parameters).rowcount


def _to_write_ahead(path: str) -> None:
    # oslo.db opens a transaction at once, in which the mode cannot be changed.
    connection = sqlite3.connect(path, isolation_level=None, timeout=tuning.SQLITE_BUSY_TIMEOUT)
    try:
        connection.execute("PRAGMA journal_mode=wal")
    finally:
        connection.close()
