# SPDX-License-Identifier: Apache-2.0
"""State of the process that a driver shares with the worker and with other drivers."""

from __future__ import annotations

import contextlib
import copy
import locale
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivers.interface.records import Record

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM)


def read() -> dict[str, Any]:
    """Return the state that no driver changes, by its name."""
    found: dict[str, Any] = {
        "working directory": os.getcwd(),
        "umask": _umask(),
        "default timeout of sockets": socket.getdefaulttimeout(),
        "level of the root logger": logging.getLogger().level,
        "logging.disable": logging.root.manager.disable,
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion limit": sys.getrecursionlimit(),
    }
    found |= {f"handler of {one.name}": signal.getsignal(one) for one in _SIGNALS}
    found |= {
        f"environment variable {name}": value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_")
    }
    return found


def changes(before: Mapping[str, Any]) -> list[str]:
    """Return in words which state differs from that of before, and restore most of it."""
    after = read()
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if names:
        _restore(before)
    return [f"{name}: {after.get(name)} in place of {before.get(name)}" for name in names]


def _restore(before: Mapping[str, Any]) -> None:
    os.chdir(before["working directory"])
    os.umask(int(before["umask"], 8))
    socket.setdefaulttimeout(before["default timeout of sockets"])
    logging.disable(before["logging.disable"])
    sys.setrecursionlimit(before["recursion limit"])
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, before["locale"])
    for one in _SIGNALS:
        if (handler := before[f"handler of {one.name}"]) is not None:
            signal.signal(one, handler)


def _umask() -> str:
    """Return the umask; ``os.umask`` would change it for a moment."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("Umask:"))


def copied(arguments: Sequence[Any]) -> list[Any]:
    """Return copies of the arguments of a call that a driver only reads."""
    return [_copied(one) for one in arguments]


def changed_argument(arguments: Sequence[Any], before: Sequence[Any]) -> str | None:
    """Return in words which argument differs from its copy."""
    for now, then in zip(copied(arguments), before, strict=True):
        if isinstance(then, dict) and now != then:
            names = [str(name) for name in {**then, **now} if then.get(name) != now.get(name)]
            return f"it changed its argument: {', '.join(sorted(names))}"
    return None


def _copied(argument: Any) -> Any:
    """Return the data of a record or of a dict; nothing for other objects."""
    if isinstance(argument, Record):
        argument = {
            name: value
            for name, value in argument.to_dict().items()
            if name in ("metadata", "admin_metadata")
        }
    return copy.deepcopy(argument) if isinstance(argument, dict) else None
