# SPDX-License-Identifier: Apache-2.0
"""Conditions that mean the same on every database.

MySQL compares text without case and without trailing blanks, so text that must be
equal is compared by its bytes as well; the plain comparison finds the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

ESCAPE = "!"


@dataclass(frozen=True)
class BackendRows:
    """The names by which the rows of a backend are found.

    The rows of a cluster have its name, whichever of its hosts has created them. A service that
    joins a cluster writes it into the rows of its host (:mod:`worker.db.records.services.cluster`).

    :param host: ``host@backend``; also a node, or a pool.
    :param cluster: ``cluster@backend``; None without a cluster.
    """

    host: str
    cluster: str | None = None

    @classmethod
    def of(cls, place: BackendRows | str) -> BackendRows:
        """Return the names of a backend that may be given as its host."""
        return cls(place) if isinstance(place, str) else place

    @property
    def column(self) -> str:
        """The column that has the name."""
        return "cluster_name" if self.cluster else "host"

    @property
    def name(self) -> str:
        """The name, without its pool."""
        return self.cluster or self.host

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments of :func:`on_host` for the column."""
        return host_parameters(self.name)


class Bytes(FunctionElement[Any]):
    """A text column as MySQL must compare it; elsewhere the column itself."""

    inherit_cache = True
    name = "bytes"

    @property
    def column(self) -> Any:
        """The column inside."""
        return next(iter(self.clauses))


@compiles(Bytes)
def _plain(element: Bytes, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.column, **options))


@compiles(Bytes, "mysql", "mariadb")
def _cast(element: Bytes, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.column, **options)} AS BINARY)"


def same(column: sa.Column[Any], name: str) -> sa.ColumnElement[bool]:
    """Match a text to the letter; ``name`` is the bound parameter."""
    value = sa.bindparam(name, type_=column.type)
    return sa.and_(column == value, Bytes(column) == value)


def on_host(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """Match a host and its backends and pools, to the letter (spec/service §1).

    The bound parameters are those of :func:`host_parameters`.
    """
    given = sa.bindparam("on_host", type_=sa.String())
    patterns = [sa.bindparam(name, type_=sa.String()) for name in ("pools", "backends")]
    starts = [sa.bindparam(name, type_=sa.String()) for name in ("pool_start", "backend_start")]
    found = sa.or_(column == given, *(column.like(p, escape=ESCAPE) for p in patterns))
    # LENGTH counts bytes on MySQL, where SUBSTR then does so as well.
    begins = (sa.func.substr(Bytes(column), 1, sa.func.length(s)) == s for s in starts)
    exactly = sa.or_(Bytes(column) == given, *begins)
    return sa.and_(found, exactly)


def host_parameters(host: str) -> dict[str, Any]:
    """Return the arguments of :func:`on_host`: a node finds its backends, a backend its pools."""
    below = "#" if "@" in host else "@"
    escaped = host.replace(ESCAPE, ESCAPE * 2).replace("%", f"{ESCAPE}%").replace("_", f"{ESCAPE}_")
    return {
        "on_host": host,
        "pools": f"{escaped}#%",
        "backends": f"{escaped}{below}%",
        "pool_start": f"{host}#",
        "backend_start": f"{host}{below}",
    }
