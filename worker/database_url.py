# SPDX-License-Identifier: Apache-2.0
"""Addresses of databases, with a driver that is installed where they name none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import sqlalchemy as sa

_DRIVERS = {"postgresql": ("psycopg2", "psycopg"), "mysql": ("pymysql", "MySQLdb")}
"""Modules of the drivers that a URL without one gets: the one that our extra installs first.

Cinder's installations do not have SQLAlchemy's own choices, psycopg 3 and mysqlclient.
"""

_NAMES = {"MySQLdb": "mysqldb"}


def parse(address: str) -> sa.URL:
    """Return an SQLAlchemy URL, also of a ``postgresql://`` without a driver's name.

    :raises sqlalchemy.exc.ArgumentError: it is no URL.
    """
    url = sa.engine.make_url(address)
    for module in _DRIVERS.get(url.drivername, ()):
        if importlib.util.find_spec(module) is not None:
            return url.set(drivername=f"{url.drivername}+{_NAMES.get(module, module)}")
    return url


def file_of(address: str) -> Path | None:
    """Return the file of a database; None for one on a server or in memory."""
    url = parse(address)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))
