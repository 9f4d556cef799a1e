# SPDX-License-Identifier: Apache-2.0
"""Private parts of PyMySQL: one TLS context for the connections of a process.

PyMySQL makes a context for each connection, and each reads all certificates of the system:
0.9 MiB and 26 to 40 ms of a processor, also where the server's certificate is not verified. A
context without options of the user is the same for every connection, and needs no certificates.
"""

from __future__ import annotations

import functools
import importlib
import ssl
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

DRIVER = "pymysql"
"""SQLAlchemy's name for the library."""


def share_tls_context() -> None:
    """Let PyMySQL's connections of all engines share a context; a second call does nothing."""
    if not sa.event.contains(sa.Engine, "do_connect", _connect):
        sa.event.listen(sa.Engine, "do_connect", _connect)


def make_tls_context() -> None:
    """Make the context now, for the processes that are forked from this one as well."""
    kind = _connection_class()
    kind._create_ssl_ctx(object.__new__(kind), {})


def _connect(
    dialect: sa.Dialect, _record: Any, arguments: tuple[Any, ...], options: Mapping[str, Any]
) -> Any:
    """Return a new connection; None for other libraries, whose dialect then connects."""
    if dialect.driver != DRIVER:
        return None
    return _connection_class()(*arguments, **options)


@functools.cache
def _connection_class() -> type[Any]:
    # By its name: it is loaded where a database needs it only.
    base: Any = importlib.import_module("pymysql.connections").Connection
    made: list[Any] = []

    class SharingConnection(base):  # type: ignore[misc]
        """A connection that shares the context which has no options of the user."""

        def _create_ssl_ctx(self, sslp: Any) -> Any:
            if sslp:
                return super()._create_ssl_ctx(sslp)
            if not made:  # of two threads that both make one, the first one's is used
                made.append(_unverified_context())
            return made[0]

    return SharingConnection


def _unverified_context() -> ssl.SSLContext:
    """Return a context as PyMySQL makes it without options, except for the certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_SSLv2 | ssl.OP_NO_SSLv3
    return context
