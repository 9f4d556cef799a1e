# SPDX-License-Identifier: Apache-2.0
"""The meaning of each driver's own errors, as SQLAlchemy and oslo.db hand them on."""

from __future__ import annotations

import sqlite3

import psycopg2
import psycopg2.errors
import pymysql
import pytest
import sqlalchemy as sa

from worker.db.error_kinds import ErrorKind, kind_of

psycopg = pytest.importorskip("psycopg", reason="psycopg 3: pip install 'psycopg[binary]'")

AWAY, CONFLICT, REFUSED = ErrorKind


def as_handed_on(cause: Exception) -> list[Exception]:
    """The error alone, as the journal meets it, and inside of SQLAlchemy's."""
    kind = next((k.__name__ for k in type(cause).__mro__ if hasattr(sa.exc, k.__name__)), None)
    outer = getattr(sa.exc, kind or "", sa.exc.DBAPIError)
    return [cause, outer("COMMIT", None, cause, hide_parameters=True)]


def mysql(kind: str, *args: object) -> Exception:
    """An error of PyMySQL."""
    error: Exception = getattr(pymysql.err, kind)(*args)
    return error


def raised_by_mysql(number: int) -> Exception:
    """The error that PyMySQL makes of a server's packet with this number."""
    packet = b"\xff" + number.to_bytes(2, "little") + b"#HY000" + b"as the server said"
    try:
        pymysql.err.raise_mysql_exception(packet)
    except pymysql.err.MySQLError as error:
        return error
    raise AssertionError


MYSQL = {
    **dict.fromkeys((1021, 1040, 1047, 1053, 1114, 1158, 1290, 1836, 1927, 4031), AWAY),
    **dict.fromkeys((9001, 9002, 9005, 9019), AWAY),
    **dict.fromkeys((1205, 1213, 1317, 1969, 3572), CONFLICT),
    **dict.fromkeys((1044, 1045, 1049, 1130, 3118), REFUSED),
    **dict.fromkeys((1048, 1054, 1062, 1064, 1146, 1264, 1366, 1406, 1452, 3140), None),
}


@pytest.mark.parametrize(("number", "meaning"), MYSQL.items())
def test_numbers_of_mysql(number, meaning):
    for error in as_handed_on(raised_by_mysql(number)):
        assert kind_of(error) is meaning


FRAGMENT = "Error while appending streaming replication fragment(provider status: "


@pytest.mark.parametrize(
    ("number", "text", "meaning"),
    [
        (1180, 'Got error 6 "No such device or address" during COMMIT', AWAY),
        (1180, "Got error 5 during COMMIT", AWAY),
        (1180, 'Got error 90 "Message too long" during COMMIT', None),
        (1180, f"{FRAGMENT}Not connected to Primary Component)", AWAY),
        (1180, f"{FRAGMENT}Certification failed)", CONFLICT),
        (1180, f"{FRAGMENT}Transaction was BF aborted)", CONFLICT),
        (1180, f"{FRAGMENT}Transaction size exceeded)", None),
        (1030, 'Got error 28 "No space left on device" from storage engine InnoDB', AWAY),
        (1030, "Got error 139 from storage engine", None),
        (1026, "Error writing file '/tmp/x' (errno: 28 \"No space left on device\")", AWAY),
        (3, "Error writing file '/tmp/MYfd=28' (Errcode: 28 \"No space left on device\")", AWAY),
    ],
)
def test_errors_of_the_system_of_mysql(number, text, meaning):
    for error in as_handed_on(mysql("OperationalError", number, text)):
        assert kind_of(error) is meaning


@pytest.mark.parametrize(
    "error",
    [
        mysql("OperationalError", 2003, "Can't connect to MySQL server"),
        mysql("OperationalError", 2006, "MySQL server has gone away (BrokenPipeError)"),
        mysql("OperationalError", 2013, "Lost connection to MySQL server during query"),
        mysql("InterfaceError", 0, ""),
        mysql("InterfaceError", "(0, 'Not connected')"),
        mysql("OperationalError", "no number"),
    ],
    ids=str,
)
def test_connections_to_mysql(error):
    for one in as_handed_on(error):
        assert kind_of(one) is AWAY


POSTGRESQL = {
    **dict.fromkeys(("08000", "08006", "08P01", "25006", "25P03", "53100", "53300"), AWAY),
    **dict.fromkeys(("57P01", "57P02", "57P03", "58030"), AWAY),
    **dict.fromkeys(("40001", "40P01", "55P03", "57014"), CONFLICT),
    **dict.fromkeys(("28P01", "28000", "3D000"), REFUSED),
    **dict.fromkeys(("0A000", "22001", "22021", "23505", "25P02", "42703", "42P01", "54000"), None),
}


@pytest.mark.parametrize(("state", "meaning"), POSTGRESQL.items())
def test_codes_of_postgresql(state, meaning):
    three: Exception = psycopg.errors.lookup(state)("as the server said")
    assert three.sqlstate == state
    for error in as_handed_on(three):
        assert kind_of(error) is meaning

    # psycopg2 sets the code of an error that a server has sent.
    kind = psycopg2.errors.lookup(state)
    two = type(kind.__name__, (kind,), {"__module__": kind.__module__, "pgcode": state})("said so")
    for error in as_handed_on(two):
        assert kind_of(error) is meaning


@pytest.mark.parametrize("driver", [psycopg2, psycopg])
class TestWithoutACode:
    @pytest.mark.parametrize(
        ("kind", "text", "meaning"),
        [
            ("OperationalError", "server closed the connection unexpectedly", AWAY),
            ("OperationalError", "the connection is lost", AWAY),
            ("OperationalError", "consuming input failed: SSL SYSCALL error: EOF detected", AWAY),
            ("InterfaceError", "connection already closed", AWAY),
            ("OperationalError", 'FATAL: password authentication failed for user "x"', REFUSED),
            ("OperationalError", 'FATAL: database "x" does not exist', REFUSED),
            ("DataError", "PostgreSQL text fields cannot contain NUL (0x00) bytes", None),
            ("ProgrammingError", "can't adapt type 'dict'", None),
            ("NotSupportedError", "no such feature", None),
        ],
    )
    def test_the_class_decides(self, driver, kind, text, meaning):
        for error in as_handed_on(getattr(driver, kind)(text)):
            assert kind_of(error) is meaning

    def test_a_server_that_is_not_there(self, driver):
        with pytest.raises(driver.OperationalError) as refused:
            driver.connect("host=127.0.0.1 port=1 dbname=x connect_timeout=5")
        for error in as_handed_on(refused.value):
            assert kind_of(error) is AWAY


def test_a_connection_that_sqlalchemy_has_invalidated():
    """Some drivers give a broken connection no class of its own."""
    cause = psycopg2.DatabaseError("error with status PGRES_TUPLES_OK and no message")
    error = sa.exc.DatabaseError("COMMIT", None, cause, connection_invalidated=True)

    assert kind_of(error) is AWAY
    assert kind_of(sa.exc.DatabaseError("COMMIT", None, cause)) is None


class _Foreign(Exception):
    """The root of a driver that this project does not know."""


def test_a_driver_that_is_not_known_is_judged_by_the_classes_of_dbapi():
    for kind, meaning in (
        ("OperationalError", AWAY),
        ("InterfaceError", AWAY),
        ("DataError", None),
    ):
        error = type(kind, (_Foreign,), {})("words")
        assert [kind_of(one) for one in as_handed_on(error)] == [meaning] * 2


def test_pg8000_has_the_code_among_its_arguments():
    kind = type("DatabaseError", (_Foreign,), {})

    assert kind_of(kind({"S": "FATAL", "C": "57P01"})) is AWAY
    assert kind_of(kind({"S": "ERROR", "C": "42703"})) is None


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (sqlite3.OperationalError("disk I/O error"), AWAY),
        (sqlite3.OperationalError("attempt to write a readonly database"), AWAY),
        (sqlite3.OperationalError("database table is locked"), CONFLICT),
        (sqlite3.OperationalError("unable to open database file"), REFUSED),
        (sqlite3.OperationalError("no such column: x"), None),
        (sqlite3.DataError("string or blob too big"), None),
        (sqlite3.IntegrityError("UNIQUE constraint failed"), None),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), None),
        (ValueError("A string literal cannot contain NUL (0x00) characters."), None),
    ],
    ids=str,
)
def test_sqlite_and_values_that_no_driver_takes(error, meaning):
    assert kind_of(error) is meaning
