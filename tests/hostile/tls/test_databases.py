# SPDX-License-Identifier: Apache-2.0
"""MariaDB and PostgreSQL over TLS with certificates of each kind.

libpq refuses revoked certificates of a list (``sslcrl``); PyMySQL takes none.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows.errors import Unavailable
from tests.conftest import require
from tests.hostile.tls.certificates import KINDS, Certificates
from tests.servers import MariaDB, PostgreSQL, until
from worker.db.database import Database
from worker.journal.errors import JournalUnavailable
from worker.journal.journal import Journal

MYSQL = {
    "wrong-host": "IP address mismatch, certificate is not valid for '127.0.0.1'",
    "expired": "certificate has expired",
    "unknown-authority": "unable to get local issuer certificate",
}
LIBPQ = {
    "wrong-host": 'server certificate for "192.0.2.99" does not match host name "127.0.0.1"',
    "expired": "not verified",
    "unknown-authority": "not verified",
    "revoked": "not verified",
}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that the user of PostgreSQL can enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="module")
def mariadb(place: Path, certificates: Certificates) -> Iterator[MariaDB]:
    require(MariaDB)
    files = {name: place / f"mariadb-{name}.pem" for name in ("cert", "key")}
    show(certificates, "right", files)
    server = MariaDB(
        place / "mariadb", options=[f"--ssl-{name}={file}" for name, file in files.items()]
    )
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def postgresql(place: Path) -> Iterator[PostgreSQL]:
    require(PostgreSQL)
    server = PostgreSQL(place / "postgresql")
    server.start()
    yield server
    server.close()


def show(certificates: Certificates, kind: str, files: dict[str, Path]) -> None:
    shutil.copy(certificates.certificate(kind), files["cert"])
    shutil.copy(certificates.key(kind), files["key"])
    for file in files.values():
        file.chmod(0o600)


def attempt(url: str, caplog: pytest.LogCaptureFixture) -> str | None:
    """Use a database; return the reason why that is not possible, which was logged once."""
    caplog.set_level(logging.DEBUG, "worker")
    database = Database(url, db_max_retries=2, db_retry_interval=0.01, db_max_retry_interval=0.01)
    try:
        assert database.rows(sa.select(sa.literal(1))) == [(1,)]
    except Unavailable as error:
        (line,) = [one for one in caplog.records if "database away" in one.getMessage()]
        assert line.exc_info is None
        assert str(error).partition(": ")[2] in line.getMessage()
        assert "\n" not in str(error)
        return str(error)
    finally:
        database.dispose()
    return None


@pytest.mark.parametrize("kind", ["right", *MYSQL])
def test_mariadb(
    mariadb: MariaDB, place: Path, certificates: Certificates, kind: str, caplog: Any
) -> None:
    show(certificates, kind, {name: place / f"mariadb-{name}.pem" for name in ("cert", "key")})
    mariadb.execute("FLUSH SSL")
    url = f"mysql+pymysql://root@127.0.0.1:{mariadb.port}/mysql?ssl_ca={certificates.ca}"
    found = attempt(url, caplog)
    if kind == "right":
        assert found is None
    else:
        assert found is not None
        assert found.endswith(refused(MYSQL[kind]))
        assert of_journal(url) == f"journal: {refused(MYSQL[kind])}"


@pytest.mark.parametrize("kind", KINDS)
def test_postgresql(
    postgresql: PostgreSQL, place: Path, certificates: Certificates, kind: str, caplog: Any
) -> None:
    files = {name: place / f"{kind}-{name}.pem" for name in ("cert", "key")}
    show(certificates, kind, files)
    if (user := postgresql._user()) is not None:
        for file in files.values():
            shutil.chown(file, user)
    for name, file in files.items():
        postgresql.execute(f"ALTER SYSTEM SET ssl_{name}_file = '{file}'")
    postgresql.execute("ALTER SYSTEM SET ssl = 'on'")
    shown = postgresql._process.tail(200).count("reloading") if postgresql._process else 0
    postgresql.execute("SELECT pg_reload_conf()")
    until(lambda: postgresql._process.tail(200).count("reloading") > shown, 20, "the reload")
    checks = f"sslmode=verify-full&sslrootcert={certificates.ca}&sslcrl={certificates.crl}"
    url = f"postgresql+psycopg2://postgres@127.0.0.1:{postgresql.port}/postgres?{checks}"
    found = attempt(url, caplog)
    if kind == "right":
        assert found is None
    else:
        assert found is not None
        assert found.endswith(refused(LIBPQ[kind]))
        assert of_journal(url) == f"journal: {refused(LIBPQ[kind])}"


def test_a_revoked_certificate_is_accepted_without_a_list(
    postgresql: PostgreSQL, certificates: Certificates, caplog: Any
) -> None:
    checks = f"sslmode=verify-full&sslrootcert={certificates.ca}"
    url = f"postgresql+psycopg2://postgres@127.0.0.1:{postgresql.port}/postgres?{checks}"

    assert attempt(url, caplog) is None  # the last one that was shown is the revoked one


def of_journal(url: str) -> str:
    """Return the error of a journal in such a database, which a start waits for."""
    journal = Journal(url)
    try:
        with pytest.raises(JournalUnavailable) as caught:
            journal.slots.with_unfinished("h1@b1/")
    finally:
        journal.close()
    return str(caught.value)


def refused(reason: str) -> str:
    """Return the words of the one line that an operator reads."""
    options = "ssl_ca (MySQL) or sslrootcert (PostgreSQL) in the address of the database"
    return f"the certificate of the server is refused: {reason}; check it, and {options}"
