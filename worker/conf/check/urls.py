# SPDX-License-Identifier: Apache-2.0
"""Whether the addresses of the bus, the databases and the locks can be used at all.

A misspelt scheme would otherwise surface as a library's traceback. Addresses hold
passwords, so only their schemes are ever shown.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy
from oslo_config import cfg

from drivers.compat import oslo_config
from worker import database_url, entry_points
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem


def faults(conf: cfg.ConfigOpts, found: ConfigFiles) -> list[Problem]:
    """Return the addresses that nothing here can open; no connection is made."""
    options = {(section, option.dest): option for section, option in oslo_config.registered(conf)}
    problems = []
    for (section, name), fault in _ADDRESSES.items():
        address = conf[name] if section == "DEFAULT" else conf[section][name]
        if not address and (section, name) in _OPTIONAL:
            continue
        text = fault(address) if address else "is empty"
        if text:
            problems.append(found.problem(section, options[section, name], text))
    return problems


def warnings(
    conf: cfg.ConfigOpts, found: ConfigFiles, databases: Collection[str]
) -> Iterator[Problem]:
    """Yield parts of addresses of databases that have no effect.

    :param databases: sections of databases whose addresses can be read.
    """
    options = {(section, option.dest): option for section, option in oslo_config.registered(conf)}
    for section in sorted(databases):
        for name in database_url.missing_plugins(conf[section].connection):
            text = f"the plugin {name} is not installed, so it has no effect"
            place = section, options[section, "connection"]
            yield found.problem(*place, text, fatal=False)


def _database(address: str) -> str | None:
    try:
        url = database_url.parse(address)
        url.get_dialect().import_dbapi()
        if text := _arguments(url):
            return text
    except sqlalchemy.exc.NoSuchModuleError:
        known = ("sqlite", "mysql+pymysql", "postgresql+psycopg2")
        return _unknown(_scheme(address), known)
    except sqlalchemy.exc.ArgumentError:
        return "is not a database URL, such as mysql+pymysql://user:password@host/name"
    except ValueError:
        return "has a port that is not a number"
    except ImportError as error:
        text = f"{url.drivername} needs a Python package that is not installed: "
        return text + _PACKAGES.get(url.drivername, str(error.name))
    if "@" in (url.host or ""):
        return "an @ in a name or password is written %40"
    if url.port is not None and not 0 < url.port < 65536:
        return f"the port {url.port} is not between 1 and 65535"
    return None


def _arguments(url: sqlalchemy.URL) -> str | None:
    """Return why the driver of a database does not take the part after the question mark."""
    engine = sqlalchemy.create_engine(url)  # which loads plugins, and connects later
    for name, value in url.query.items():
        if isinstance(value, str) and os.path.isabs(value) and not os.access(value, os.R_OK):
            return f"has {name} = {value}, which cannot be read"
    arguments, named = engine.dialect.create_connect_args(engine.url)
    try:
        _TRIALS.get(engine.dialect.driver, lambda *_: None)(
            engine.dialect.loaded_dbapi, arguments, named
        )
    except Exception as error:  # noqa: BLE001 - whatever the driver raises for its arguments
        reason = " ".join(str(error).split())
        return f"cannot be used with {', '.join(url.query)}: {reason}"
    return None


def _tables(address: str) -> str | None:
    """Return why the database of the tables cannot be used; the journal has its own check."""
    return _database(address) or _content(database_url.file_of(address))


def _content(file: Path | None) -> str | None:
    """Return why a file is no database of SQLite; one that is not there, or empty, becomes one."""
    try:
        with open(file or os.devnull, "rb") as opened:
            begin = opened.read(len(_SQLITE))
    except IsADirectoryError:
        return f"{file} is a directory: name a file in it"
    except (OSError, ValueError):  # it is not there, or not ours: reported elsewhere
        return None
    return f"{file} is no database of SQLite" if begin not in (b"", _SQLITE) else None


def _bus(address: str) -> str | None:
    return _installed(address, "oslo.messaging.drivers")


def _locks(address: str) -> str | None:
    if text := _installed(address, "tooz.backends"):
        return text
    try:
        if _scheme(address).partition("+")[0] in _ONE_SERVER:
            urlsplit(address).port  # noqa: B018 - reading it raises
    except ValueError:
        return "has a port that is not a number between 0 and 65535"
    return None


def _installed(address: str, group: str) -> str | None:
    scheme = _scheme(address)
    points = {point.name: point for point in entry_points.of_group(group)}
    # "etcd3+http" is a driver; "kombu+memory" is the driver kombu with a transport of its own.
    point = points.get(scheme) or points.get(scheme.partition("+")[0])
    if point is None:
        return _unknown(scheme, points)
    try:
        point.load()
    except ImportError as error:
        return f"{scheme}:// needs a Python package: pip install {error.name}"
    return None


def _unknown(scheme: str, known: Iterable[str]) -> str:
    if not scheme:
        return "is not a URL: it has no scheme, such as file:// or rabbit://"
    close = difflib.get_close_matches(scheme, list(known), n=1)
    return f"nothing here can open {scheme}://" + (f"; did you mean {close[0]}?" if close else "")


def _scheme(address: str) -> str:
    scheme, found, _ = address.partition("://")
    return scheme if found else ""


_TRIALS: dict[str, Callable[[Any, Any, Any], object]] = {
    "pymysql": lambda api, args, named: api.connect(*args, **{**named, "defer_connect": True}),
    "psycopg2": lambda api, _args, named: api.extensions.make_dsn(**named),
    "psycopg": lambda api, _args, named: api.conninfo.make_conninfo(**named),
}
"""By driver: reads the arguments of a connection, which it does not make."""

_PACKAGES = {
    scheme: f"pip install 'holdfast[{scheme.partition('+')[0]}]'"
    for scheme in ("mysql", "mysql+pymysql", "postgresql", "postgresql+psycopg2")
}
"""By scheme of a database: the command that installs the driver of our choice."""

_SQLITE = b"SQLite format 3\0"
"""The begin of a file of SQLite."""

_ONE_SERVER = ("etcd3", "redis", "rediss", "memcached")
"""Schemes of lock servers whose address has one host and its port."""

_NOTIFICATIONS = ("oslo_messaging_notifications", "transport_url")

_OPTIONAL = frozenset({_NOTIFICATIONS})
"""Addresses that may be empty: the one of operations is used then."""

_ADDRESSES: dict[tuple[str, str], Callable[[str], str | None]] = {
    ("DEFAULT", "transport_url"): _bus,
    _NOTIFICATIONS: _bus,
    ("database", "connection"): _tables,
    ("journal", "connection"): _database,
    ("coordination", "backend_url"): _locks,
}
