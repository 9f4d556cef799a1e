# SPDX-License-Identifier: Apache-2.0
"""PyMySQL's connections share a TLS context, unless the user gives options for it."""

from __future__ import annotations

import ssl
from typing import Any

import pymysql as library
import pytest
import sqlalchemy as sa

from worker.compat import pymysql
from worker.db.database import Database

ADDRESS = "mysql+pymysql://root@127.0.0.1:1/none"
ATTRIBUTES = (
    *("options", "verify_flags", "verify_mode", "check_hostname", "protocol"),
    *("minimum_version", "maximum_version", "security_level", "post_handshake_auth"),
)
UNVERIFIED = {"check_hostname": False, "verify_mode": ssl.CERT_NONE}


def connect(address: str, **options: Any) -> Any:
    """Return a connection as an engine makes it, before it reaches for the server."""
    pymysql.share_tls_context()
    dialect = sa.create_engine(address).dialect
    found = [fn(dialect, None, (), {"defer_connect": True, **options}) for fn in listeners(dialect)]
    (made,) = [one for one in found if one is not None] or [None]
    return made


def listeners(dialect: Any) -> list[Any]:
    """Return the functions that an engine asks for its connections."""
    return list(dialect.dispatch.do_connect)


def test_connections_share_a_context_that_is_like_the_librarys_own() -> None:
    first, second = connect(ADDRESS), connect(ADDRESS)
    theirs = library.connections.Connection(defer_connect=True).ctx

    assert first.ctx is second.ctx is not None
    assert {name: getattr(first.ctx, name) for name in UNVERIFIED} == UNVERIFIED
    for name in ATTRIBUTES:
        assert getattr(first.ctx, name) == getattr(theirs, name)
    assert first.ctx.get_ciphers() == theirs.get_ciphers()
    assert first.ctx.cert_store_stats()["x509"] == 0  # reading those of the system takes long
    assert not first._ssl_required and first.ssl  # TLS where the server offers it


def test_options_of_the_user_make_a_context_of_their_own() -> None:
    verified = connect(ADDRESS, ssl={"check_hostname": True, "verify_mode": True})

    assert verified.ctx is not connect(ADDRESS).ctx
    assert verified.ctx.verify_mode is ssl.CERT_REQUIRED


def test_a_context_that_was_made_before_is_the_shared_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pymysql.make_tls_context()
    monkeypatch.setattr(ssl, "SSLContext", lambda *_: pytest.fail("a second one"))

    assert connect(ADDRESS).ctx is not None


def test_other_libraries_connect_as_they_do() -> None:
    assert connect("sqlite://") is None


def test_a_database_asks_for_it() -> None:
    database = Database("sqlite://")

    assert database.rows(sa.text("SELECT 1")) == [(1,)]  # type: ignore[arg-type]
    assert len(listeners(database.engine.dialect)) == 1
