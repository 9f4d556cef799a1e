# SPDX-License-Identifier: Apache-2.0
"""Directories and names on the bus that are too long, relative, or those of two backends."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping

from oslo_config import cfg

from drivers.compat import oslo_config
from worker import database_url
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem
from worker.conf.option_groups import default

_LONGEST = 255
"""Bytes of the name of a queue."""

_UNIQUE = "_fanout_" + 32 * "0"


def relative(conf: cfg.ConfigOpts, found: ConfigFiles, databases: Collection[str]) -> list[Problem]:
    """Return places whose meaning depends on the directory in which a service is started.

    :param databases: sections of databases whose addresses can be read.
    """
    options = {(section, one.dest): one for section, one in oslo_config.registered(conf)}
    problems = []
    for section, name in (
        ("DEFAULT", "state_path"),
        *((section, "connection") for section in sorted(databases, reverse=True)),
    ):
        value = conf[name] if section == "DEFAULT" else conf[section][name]
        path = value if section == "DEFAULT" else database_url.file_of(value)
        if path is not None and not os.path.isabs(path):
            text = f"{path} is relative: write the whole path, as services start in any directory"
            problems.append(found.problem(section, options[section, name], text))
            if section == "DEFAULT":  # the others are below it, unless they are set
                return problems
    return problems


def absent(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[Problem]:
    """Yield directories without which a start ends; they may be made until then."""
    options = {
        one.dest: one for section, one in oslo_config.registered(conf) if section == default.SECTION
    }
    if other := _file_on_the_way(conf.state_path):
        text = f"{conf.state_path} cannot be made: {other} is no directory"
        yield found.problem(default.SECTION, options["state_path"], text)
    name = "log_dir" if conf.log_dir else "log_file"
    if conf[name] and not conf.log_config_append:
        log = os.path.join(conf.log_dir or "", conf.log_file or "service.log")
        if _is_absent(directory := os.path.dirname(log) or "."):
            text = f"there is no directory {directory}: a start ends without it, and makes none"
            yield found.problem(default.SECTION, options[name], text, fatal=False)


def _file_on_the_way(path: str) -> str:
    """Return the part of a path that is no directory; empty where there is none."""
    while not os.path.lexists(path) and os.path.dirname(path) not in (path, ""):
        path = os.path.dirname(path)
    return path if os.path.exists(path) and not os.path.isdir(path) else ""


def _is_absent(directory: str) -> bool:
    try:
        os.stat(directory)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # one that we may not see may well be there
        return False
    return False


def too_long(topic: str, host: str, backend: str = "") -> str:
    """Return why a host cannot have queues of its own, or ""."""
    server = f"{host}@{backend}" if backend else host
    names = (f"{topic}.{server}.{host}" if backend else f"{topic}.{server}", topic + _UNIQUE)
    length = max(len(name.encode()) for name in (*names, f"{topic}.{server}{_UNIQUE}"))
    if length <= _LONGEST:
        return ""
    return f"the queues of {server:.40}… would have names of {length} bytes, RabbitMQ takes 255"


def shared(directories: Mapping[str, str]) -> dict[str, str]:
    """Return who has the directory of another one before it.

    :param directories: by owner.
    """
    owners: dict[str, str] = {}
    found = {}
    for owner, directory in directories.items():
        first = owners.setdefault(os.path.realpath(directory), owner)
        if first != owner:
            found[owner] = first
    return found
