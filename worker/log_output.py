# SPDX-License-Identifier: Apache-2.0
"""Output of the log: one printable line for each record, without secrets, with its priority.

Every handler of a logger gets a :class:`LineFormatter` around its own formatter: at the start,
and after each SIGHUP, which may have read a ``log_config_append`` anew. Where the output goes to
systemd's journal, ``<N>`` before each line is its priority (sd-daemon(3)), so that ``journalctl
-p warning`` finds warnings.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from oslo_config import cfg
from oslo_log import log as oslo_log

from flows.secret_texts import masked_text
from worker import notify_socket
from worker.conf.check import config_files, log_file
from worker.conf.check.problems import EXIT_STATUS, ConfigError
from worker.printable import printable

LOG = logging.getLogger(__name__)

_FILE = cfg.StrOpt("log_config_append", deprecated_name="log_config")

_PLACES = (
    _FILE,
    cfg.StrOpt("log_dir", deprecated_name="logdir"),
    cfg.StrOpt("log_file", deprecated_name="logfile"),
    cfg.BoolOpt("use_journal"),
    cfg.BoolOpt("use_syslog"),
    cfg.ListOpt("default_log_levels"),
)
"""Options that say where the log goes; the first that is set is named where that fails."""

_HEADS = ("Traceback ", "Stack ", "  + Exception Group Traceback ")
"""First lines of tracebacks without a prefix."""

_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO + 1, 5),
    (logging.INFO, 6),
)
"""Priorities of syslog(3), by the least level that has them."""

_DEBUG = 7

_OURS = ("worker", "flows", "drivers")

_COMPARED = 40
"""Characters of an error's first line that are looked for in a message."""


class LineFormatter(logging.Formatter):
    """Formats a record as another formatter does, in printable characters and without secrets.

    The message is one line. A traceback keeps its lines.

    :param inner: the other formatter.
    :param journal: whether the lines go to systemd's journal.
    """

    def __init__(self, inner: logging.Formatter, *, journal: bool = False) -> None:
        super().__init__()
        self.inner = inner
        self.journal = journal

    def format(self, record: logging.LogRecord) -> Any:
        """Return the line of a record, and its traceback."""
        text: object = self.inner.format(record)
        if isinstance(text, Mapping):  # of the formatter for fluentd
            return {key: _masked(value) for key, value in text.items()}
        return self._lines(str(text), record)

    def _lines(self, text: str, record: logging.LogRecord) -> str:
        head, tail = _parts(text, record)
        head = masked_text(_without_repetition(head, record))
        shown = printable(head, keep="\t") + (_traceback(masked_text(tail)) if tail else "")
        if not self.journal:
            return shown
        prefix = f"<{priority(record.levelno)}>"
        return prefix + shown.replace("\n", f"\n{prefix}")


def priority(level: int) -> int:
    """Return the priority in systemd's journal of a level of the log."""
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG)


def set_up(conf: cfg.ConfigOpts, prog: str) -> None:
    """Open the log as the options say.

    :raises ConfigError: they say what cannot be done, as to write to a directory that is missing.
    """
    try:
        oslo_log.setup(conf, prog)
    except Exception as error:
        option = next(option for option in _PLACES if conf[option.dest])
        text = f"the log cannot be opened: {error}"
        if option is _FILE:
            text = f"{conf.log_config_append} cannot be used: {error}"
        raise ConfigError(config_files.of(conf).problem("DEFAULT", option, text)) from error
    _direct(conf)
    protect_handlers()


def reread(conf: cfg.ConfigOpts) -> None:
    """Read the mutable options again; invalid values are logged, the previous ones stay."""
    before = [(one, one.level, list(one.handlers), one.propagate) for one in _loggers()]
    try:
        conf.mutate_config_files()
    except Exception as error:  # noqa: BLE001 - a file of log_config_append names any class
        for logger, level, handlers, propagate in before:
            logger.setLevel(level)
            logger.handlers, logger.propagate = handlers, propagate
        LOG.error("the configuration is invalid, the previous values stay in effect: %s", error)
    else:
        _direct(conf)
        protect_handlers()
        LOG.info("configuration read anew")


def protect_handlers() -> None:
    """Have every handler of a logger write printable lines; a second time has no effect."""
    for logger in _loggers():
        for handler in logger.handlers:
            inner = handler.formatter or logging.Formatter()
            if not isinstance(inner, LineFormatter):
                journal = writes_to_journal(getattr(handler, "stream", None))
                handler.setFormatter(LineFormatter(inner, journal=journal))


@contextmanager
def starting() -> Iterator[None]:
    """Log a start until its log is open; an error in the configuration is one line.

    :raises SystemExit: with the status for such an error.
    """
    if not (root := logging.getLogger()).handlers:
        root.addHandler(logging.StreamHandler())
        protect_handlers()
    try:
        yield
    except ConfigError as error:
        _write(logging.ERROR, str(error))
        status = f"STATUS={printable(str(error))}"
        notify_socket.send(os.environ.get(notify_socket.VARIABLE, ""), status)
        raise SystemExit(EXIT_STATUS) from error


def _direct(conf: cfg.ConfigOpts) -> None:
    """Send our lines where a file of ``log_config_append`` sends Cinder's, if it knows no others.

    Where they go nowhere, standard error has one line about it.
    """
    path = conf.log_config_append
    if not path:
        return
    try:
        found = log_file.LogFile(path)
        text = log_file.silence(path)
    except ValueError:  # the library reads more than our check knows
        return
    if found.follows_cinder:
        cinders = logging.getLogger(log_file.CINDER)
        for logger in map(logging.getLogger, log_file.LOGGERS):
            logger.setLevel(cinders.level)
            logger.handlers, logger.propagate = list(cinders.handlers), cinders.propagate
    if text:
        problem = config_files.of(conf).problem("DEFAULT", _FILE, text, fatal=False)
        _write(logging.WARNING, str(problem))


def _write(level: int, text: str) -> None:
    """Write a line to standard error, which the log may not reach."""
    prefix = f"<{priority(level)}>" if writes_to_journal(sys.stderr) else ""
    sys.stderr.write(f"{prefix}{printable(text)}\n")


def writes_to_journal(stream: Any) -> bool:
    """Return whether a stream is connected to systemd's journal."""
    try:
        found = os.fstat(stream.fileno())
    except (AttributeError, OSError, ValueError):  # no stream, or one without a file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict.values()
    return [logging.getLogger(), *(one for one in known if isinstance(one, logging.Logger))]


def _masked(value: Any) -> Any:
    return masked_text(value) if isinstance(value, str) else value


def _parts(text: str, record: logging.LogRecord) -> tuple[str, str]:
    """Return the line of a record, and the lines of its traceback."""
    for part in (record.exc_text, record.stack_info):
        if part and (at := text.rfind(f"\n{part}")) >= 0:
            return text[:at], text[at:]
    return text, ""


def _without_repetition(head: str, record: logging.LogRecord) -> str:
    """Return a line without the summary of an error whose text the message has already.

    The context formatter appends one to each warning that is logged while an error is handled.
    Our own lines have their reason themselves, maybe in other words than the error.
    """
    summary = getattr(record, "error_summary", "")
    error = record.exc_info[1] if record.exc_info else sys.exc_info()[1]
    if not summary or error is None or not head.endswith(f": {summary}"):
        return head
    rest = head.removesuffix(f": {summary}")
    if not record.exc_info and record.name.partition(".")[0] in _OURS:
        return rest
    first = _words(masked_text(str(error)).strip().partition("\n")[0])[:_COMPARED]
    return rest if first and first in _words(masked_text(rest)) else head


def _words(text: str) -> str:
    return " ".join(text.split())


def _traceback(text: str) -> str:
    """Return the lines of a traceback, of which none begins like a line of the log.

    Formatters other than oslo.log's write no prefix before them, and the error's own text may
    have any lines.
    """
    empty, first, *lines = printable(text, keep="\t\n").split("\n")
    if first.startswith(_HEADS):
        lines = [line if line.startswith(" ") or not line else f"  {line}" for line in lines]
    return "\n".join((empty, first, *lines))
