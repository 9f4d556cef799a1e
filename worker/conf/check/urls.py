# SPDX-License-Identifier: Apache-2.0
"""Whether the addresses of the bus, the databases and the locks can be used at all.

A misspelt scheme would otherwise surface as a library's traceback. Addresses hold
passwords, so only their schemes are ever shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from importlib import metadata

import sqlalchemy
from oslo_config import cfg

from drivers.compat import oslo_config
from worker import database_url
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem


def faults(conf: cfg.ConfigOpts, found: ConfigFiles) -> list[Problem]:
    """Return the addresses that nothing here can open; no connection is made."""
    options = {(section, option.dest): option for section, option in oslo_config.registered(conf)}
    problems = []
    for (section, name), fault in _ADDRESSES.items():
        address = conf[name] if section == "DEFAULT" else conf[section][name]
        text = fault(address) if address else "is empty"
        if text:
            problems.append(found.problem(section, options[section, name], text))
    return problems


def _database(address: str) -> str | None:
    try:
        url = database_url.parse(address)
        url.get_dialect().import_dbapi()
    except sqlalchemy.exc.NoSuchModuleError:
        known = ("sqlite", "mysql+pymysql", "postgresql+psycopg2")
        return _unknown(_scheme(address), known)
    except sqlalchemy.exc.ArgumentError:
        return "is not a database URL, such as mysql+pymysql://user:password@host/name"
    except ImportError as error:
        return f"{url.drivername} needs a Python package that is not installed: {error.name}"
    return None


def _bus(address: str) -> str | None:
    return _installed(address, "oslo.messaging.drivers")


def _locks(address: str) -> str | None:
    return _installed(address, "tooz.backends")


def _installed(address: str, group: str) -> str | None:
    scheme = _scheme(address)
    points = {point.name: point for point in metadata.entry_points(group=group)}
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


_ADDRESSES: dict[tuple[str, str], Callable[[str], str | None]] = {
    ("DEFAULT", "transport_url"): _bus,
    ("database", "connection"): _database,
    ("journal", "connection"): _database,
    ("coordination", "backend_url"): _locks,
}
