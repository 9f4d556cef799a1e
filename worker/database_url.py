# SPDX-License-Identifier: Apache-2.0
"""Addresses of databases, with a driver that is installed where they name none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import sqlalchemy as sa

from worker import entry_points

_DRIVERS = {"postgresql": ("psycopg2", "psycopg"), "mysql": ("pymysql", "MySQLdb")}
"""Modules of the drivers that a URL without one gets: the one that our extra installs first.

Cinder's installations do not have SQLAlchemy's own choices, psycopg 3 and mysqlclient.
"""

_NAMES = {"MySQLdb": "mysqldb"}


def parse(address: str) -> sa.URL:
    """Return an SQLAlchemy URL, also of a ``postgresql://`` without a driver's name.

    It does not name plugins that are not installed: DevStack's ``dbcounter`` counts statements.

    :raises sqlalchemy.exc.ArgumentError: it is no URL.
    """
    url = sa.engine.make_url(address)
    if missing := missing_plugins(address):
        kept = [name for name in _plugins(url) if name not in missing]
        url = url.difference_update_query(["plugin"])
        url = url.update_query_dict({"plugin": kept}) if kept else url
    for module in _DRIVERS.get(url.drivername, ()):
        if importlib.util.find_spec(module) is not None:
            return url.set(drivername=f"{url.drivername}+{_NAMES.get(module, module)}")
    return url


def missing_plugins(address: str) -> list[str]:
    """Return the plugins of SQLAlchemy that an address names and that are not installed."""
    known = entry_points.names("sqlalchemy.plugins")
    return [name for name in _plugins(sa.engine.make_url(address)) if name not in known]


def _plugins(url: sa.URL) -> tuple[str, ...]:
    found = url.query.get("plugin", ())
    return (found,) if isinstance(found, str) else found


def file_of(address: str) -> Path | None:
    """Return the file of a database; None for one on a server or in memory."""
    url = parse(address)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))
