# SPDX-License-Identifier: Apache-2.0
"""Options of the log: the file of ``log_config_append``, and ``default_log_levels``.

The file is checked for whether it can be used, and for where our lines go with it.

A file that was made for Cinder has a logger ``cinder``, and its root often writes nothing.
"""

from __future__ import annotations

import configparser
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from oslo_config import cfg
from oslo_log import formatters

LOGGERS = ("worker", "flows", "drivers")
"""Names of the loggers of this service."""

CINDER = "cinder"
"""Name of the logger whose handlers and level ours get, where the file has none of them."""

_ROOT = ""


@dataclass(frozen=True)
class Logger:
    """A logger as the file describes it."""

    level: int
    handlers: frozenset[str]
    propagate: bool = True


class LogFile:
    """A file in the format of ``logging.config.fileConfig``.

    :raises ValueError: it cannot be read, or a part of it is missing.
    """

    def __init__(self, path: str) -> None:
        self._parser = configparser.RawConfigParser()
        try:
            with open(path, encoding="utf-8") as lines:
                self._parser.read_file(lines)
            handlers = {name: self._class_of(name) for name in self._names("handlers")}
            for name in self._names("formatters"):
                self._section(f"formatter_{name}")
            self._loggers = dict(map(self._logger, self._names("loggers")))
        except OSError as error:
            raise ValueError(error.strerror or str(error)) from error
        except configparser.Error as error:
            raise ValueError(" ".join(str(error).split())) from error
        self._null = {name for name, kind in handlers.items() if kind.endswith("NullHandler")}
        unknown = {one for found in self._loggers.values() for one in found.handlers} - {*handlers}
        if unknown:
            raise ValueError(f"it has no handler {', '.join(sorted(unknown))}")
        if _ROOT not in self._loggers:
            raise ValueError("it has no logger root")

    @property
    def follows_cinder(self) -> bool:
        """Whether our loggers get the handlers and the level of Cinder's."""
        return CINDER in self._loggers and not self._loggers.keys() & {*LOGGERS}

    def silent(self) -> list[str]:
        """Return our loggers whose informative lines are written nowhere."""
        if self.follows_cinder:
            return [*LOGGERS] if self._is_silent(CINDER) else []
        return [name for name in LOGGERS if self._is_silent(name)]

    def _is_silent(self, name: str) -> bool:
        own, root = self._loggers.get(name), self._loggers[_ROOT]
        level = own.level if own is not None and own.level else root.level
        handlers = own.handlers if own is not None else frozenset()
        if own is None or own.propagate:
            handlers |= root.handlers
        return level > logging.INFO or not handlers - self._null

    def _logger(self, name: str) -> tuple[str, Logger]:
        found = self._section(f"logger_{name}")
        level = logging.getLevelName(found.get("level", "NOTSET").strip())
        if not isinstance(level, int):
            raise ValueError(f"[logger_{name}] has no level that is known")
        qualname = _ROOT if name == "root" else found.get("qualname", name).strip()
        propagate = found.get("propagate", "1").strip() != "0"
        return qualname, Logger(level, frozenset(_split(found.get("handlers", ""))), propagate)

    def _class_of(self, name: str) -> str:
        return self._section(f"handler_{name}").get("class", "")

    def _names(self, section: str) -> list[str]:
        return _split(self._section(section).get("keys", ""))

    def _section(self, name: str) -> configparser.SectionProxy:
        if not self._parser.has_section(name):
            raise ValueError(f"it has no section [{name}]")
        return self._parser[name]


def format_faults(conf: cfg.ConfigOpts) -> dict[str, str]:
    """Return the formats of oslo.log that cannot be used, each with the reason.

    The library would print a traceback in place of each line.
    """
    formatter = formatters.ContextFormatter(config=conf)
    requests = {"logging_default_format_string": "", "logging_context_format_string": "req-1"}
    faults = {}
    for option, request in requests.items():
        record = logging.LogRecord(LOGGERS[0], logging.INFO, __file__, 1, "", (), None)
        record.request_id = request
        try:
            formatter.format(record)
        except (KeyError, ValueError, TypeError) as error:
            faults[option] = f"is no format: {error}"
    return faults


def fault(path: str) -> str:
    """Return why a file cannot be used, or ""."""
    try:
        LogFile(path)
    except ValueError as error:
        return f"{path} cannot be used: {error}"
    return ""


def silence(path: str) -> str:
    """Return which lines a file that can be used writes nowhere, or ""."""
    silent = LogFile(path).silent()
    if not silent:
        return ""
    text = f"{path} writes no lines of the loggers {_listed(silent)}, which are this service's"
    return f"{text}: add a logger for each of them, with the level INFO and a handler"


def level_fault(pairs: Iterable[str]) -> str:
    """Return why a list of levels cannot be used, or "".

    :param pairs: each ``logger=LEVEL``, where the level is a name or a number.
    """
    for pair in pairs:
        level = pair.partition("=")[2]
        if not level.isdecimal() and not isinstance(logging.getLevelName(level), int):
            return f"{pair!r:.100} is not logger=LEVEL, as in oslo.messaging=INFO"
    return ""


def _listed(names: Iterable[str]) -> str:
    return " and ".join(", ".join(names).rsplit(", ", 1))


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
