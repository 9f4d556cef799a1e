# SPDX-License-Identifier: Apache-2.0
"""Classify errors of a database: of the connection, of a lock, or of the statement.

=========  ==========================================  =============================
kind       when                                        then
=========  ==========================================  =============================
AWAY       connection lost or refused, disk full,      waited for
           shutting down, read only after a failover
CONFLICT   deadlock, lock not granted in time          new attempts, short pauses
REFUSED    wrong password, no such database or file    no second attempt
None       the statement or its values: a bug, or      raised unchanged, never
           a value that a column cannot hold           repeated
=========  ==========================================  =============================

The driver's error code decides where it is a known one. Otherwise the class does: an
OperationalError or InterfaceError of DBAPI is one of the connection, and so is
everything that SQLAlchemy or oslo.db calls a lost connection. Two drivers file their
servers' errors under OperationalError whatever they are, so that their class says nothing:
those of MySQL for errors with a server's number, and sqlite3.
"""

from __future__ import annotations

import enum
import re
import sqlite3

import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslo_utils import strutils

from drivers import tls_errors

_AUTHORITY = "ssl_ca (MySQL) or sslrootcert (PostgreSQL) in the address of the database"

ERRORS = (db_exception.DBError, sa.exc.SQLAlchemyError, sqlite3.OperationalError)
"""Exceptions that a query may raise."""

_MYSQL_MODULES = ("pymysql", "MySQLdb", "mysql", "mariadb", "asyncmy")
_MYSQL_AWAY = {
    *(1021, 1037, 1040, 1041, 1042, 1043, 1047, 1053, 1077, 1078, 1079, 1080, 1081, 1114, 1129),
    *(1135, 1152, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1290, 1792, 1836, 1927),
    *(3032, 3100, 3168, 3169, 4031),
}
_MYSQL_CONFLICT = {1205, 1206, 1213, 1317, 1613, 1614, 1969, 3024, 3058, 3101, 3572}
_MYSQL_REFUSED = {1044, 1045, 1049, 1130, 1251, 1524, 1698, 1820, 1862, 3118, 3159}
_MYSQL_SYSTEM = {3, 1026, 1030, 1180}
"""Errors of the server that name one of its system, as Galera's COMMIT without a quorum (1180),
which may also name the status of its provider."""
_SYSTEM_AWAY = re.compile(r"(?i)\b(?:error|errcode:|errno:)\s*(?:5|6|28|122|107|110|111)\b")
"""Input or output, no device, no space, no quota, a lost connection."""
_GALERA_AWAY = re.compile(r"(?i)provider status: (?:not connected|failure|fatal)")
_GALERA_CONFLICT = re.compile(r"(?i)provider status: (?:certification failed|.*bf abort)")
"""Texts of Galera for transactions that it could not replicate; others are of the transaction, as
that of one which is too large."""
_MYSQL_CLIENT = range(2000, 3000)
"""Numbers that the client library gives: none of them is about a statement but these."""
_MYSQL_CLIENT_STATEMENT = {2014, 2020, 2027, 2029, 2030, 2031, 2032, 2033, 2034, 2035, 2036}
_MYSQL_CLIENT_REFUSED = {2049, 2054, 2059}
_MYSQL_PROXY = 9000
"""The least number of an error that a proxy made itself, as ProxySQL's 9001."""

_POSTGRESQL_AWAY = ("08", "25006", "25P03", "53", "57", "58")
_POSTGRESQL_CONFLICT = ("40", "55P03", "57014", "72")
_POSTGRESQL_REFUSED = ("28", "3D")
_POSTGRESQL_STATEMENT = ("0A", "21", "22", "23", "42", "54")
_REFUSED_TEXTS = ("authentication failed", "does not exist", "pg_hba.conf", "no password supplied")

_SQLITE_AWAY = ("disk", "readonly")
_SQLITE_CONFLICT = ("locked", "busy")
_SQLITE_REFUSED = ("unable to open",)

_OF_CONNECTIONS = ("OperationalError", "InterfaceError")
"""DBAPI's classes of errors that are not about the statement."""


class ErrorKind(enum.Enum):
    """Kinds of errors; an error of the statement has none."""

    AWAY = "away"
    CONFLICT = "conflict"
    REFUSED = "refused"


def kind_of(error: BaseException) -> ErrorKind | None:
    """Return the kind of an error; None for one of the statement."""
    if isinstance(error, db_exception.DBDeadlock):
        return ErrorKind.CONFLICT
    if isinstance(error, db_exception.DBNonExistentDatabase):
        return ErrorKind.REFUSED
    judged = _judge(cause_of(error))
    if _is_lost(error):
        return judged or ErrorKind.AWAY
    return judged


def reason(error: BaseException) -> str:
    """Return the driver's message, short and without passwords."""
    cause = cause_of(error)
    if refused := certificate_refusal(error):
        return refused
    text = str(cause.args[1] if len(cause.args) == 2 else cause).strip()
    return str(strutils.mask_password(" ".join(text.split())[:200]))


def certificate_refusal(error: BaseException) -> str | None:
    """Return why the certificate of the server is refused, and the option; None otherwise."""
    return tls_errors.refusal(cause_of(error), _AUTHORITY)


def cause_of(error: BaseException) -> BaseException:
    """Return the driver's own error out of SQLAlchemy's and oslo.db's."""
    inner = getattr(error, "inner_exception", None) or error
    return getattr(inner, "orig", None) or inner


def _is_lost(error: BaseException) -> bool:
    """Return whether oslo.db or SQLAlchemy took an error for a lost connection."""
    if isinstance(error, db_exception.DBConnectionError | sa.exc.TimeoutError):
        return True
    inner = getattr(error, "inner_exception", None) or error
    return isinstance(inner, sa.exc.DBAPIError) and inner.connection_invalidated


def _judge(cause: BaseException) -> ErrorKind | None:
    module = type(cause).__module__.partition(".")[0]
    if module == "sqlite3":
        return _by_text(str(cause))
    if module in _MYSQL_MODULES and (number := _number(cause)):
        if number in _MYSQL_SYSTEM:
            return _by_system(str(cause))
        return _by_number(number)
    if (state := _state(cause)) is not None:
        return _by_state(state, cause)
    if not _is_of_connection(cause):
        return None
    # No code: the connection was not made, or it broke.
    refused = any(text in str(cause) for text in _REFUSED_TEXTS)
    return ErrorKind.REFUSED if refused else ErrorKind.AWAY


def _number(cause: BaseException) -> int | None:
    """Return the number of an error of MySQL; some drivers say 0 or -1 where they have none."""
    number = getattr(cause, "errno", None) or (cause.args[0] if cause.args else None)
    return number if isinstance(number, int) and number > 0 else None


def _state(cause: BaseException) -> str | None:
    """Return SQL's code of an error, by the name that its driver has for it."""
    for name in ("sqlstate", "pgcode"):
        if state := getattr(cause, name, None):
            return str(state)
    details = cause.args[0] if cause.args else None  # pg8000
    return str(details["C"]) if isinstance(details, dict) and "C" in details else None


def _by_system(text: str) -> ErrorKind | None:
    if _SYSTEM_AWAY.search(text) or _GALERA_AWAY.search(text):
        return ErrorKind.AWAY
    return ErrorKind.CONFLICT if _GALERA_CONFLICT.search(text) else None


def _by_number(number: int) -> ErrorKind | None:
    if number in _MYSQL_CONFLICT:
        return ErrorKind.CONFLICT
    if number in _MYSQL_REFUSED or number in _MYSQL_CLIENT_REFUSED:
        return ErrorKind.REFUSED
    if number in _MYSQL_CLIENT_STATEMENT:
        return None
    away = number in _MYSQL_AWAY or number in _MYSQL_CLIENT or number >= _MYSQL_PROXY
    return ErrorKind.AWAY if away else None


def _by_state(state: str, cause: BaseException) -> ErrorKind | None:
    if state.startswith(_POSTGRESQL_CONFLICT):
        return ErrorKind.CONFLICT
    if state.startswith(_POSTGRESQL_REFUSED):
        return ErrorKind.REFUSED
    if state.startswith(_POSTGRESQL_STATEMENT):
        return None
    away = state.startswith(_POSTGRESQL_AWAY) or _is_of_connection(cause)
    return ErrorKind.AWAY if away else None


def _by_text(text: str) -> ErrorKind | None:
    if any(part in text for part in _SQLITE_CONFLICT):
        return ErrorKind.CONFLICT
    if any(part in text for part in _SQLITE_AWAY):
        return ErrorKind.AWAY
    return ErrorKind.REFUSED if any(part in text for part in _SQLITE_REFUSED) else None


def _is_of_connection(cause: BaseException) -> bool:
    return any(kind.__name__ in _OF_CONNECTIONS for kind in type(cause).__mro__)
