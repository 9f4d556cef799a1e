# SPDX-License-Identifier: Apache-2.0
"""Texts of others in log lines and on terminals: each character shows itself, or an escape.

Names, methods, ids and errors hold whatever a tenant or a driver has written: escape sequences
that a terminal obeys, line breaks that forge log lines, and characters that are invisible or
change the direction of the text.
"""

from __future__ import annotations

import logging

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_HEADS = ("Traceback ", "Stack ", "  + Exception Group Traceback ")
"""First lines of tracebacks without a prefix."""


def printable(text: str, *, keep: str = "") -> str:
    """Return a text without control, format, separator and unassigned characters.

    :param keep: characters that stay, as a line break in a cell of a table.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escape(one) for one in text)


def _escape(one: str) -> str:
    return _SHORT.get(one) or one.encode("unicode_escape").decode("ascii")


class PrintableFormatter(logging.Formatter):
    """Formats a record as another formatter does, in printable characters.

    The message is one line. A traceback keeps its lines.
    """

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, and its traceback."""
        text = self.inner.format(record)
        if text.isprintable():
            return text
        for part in (record.exc_text, record.stack_info):
            if part and (at := text.rfind(f"\n{part}")) >= 0:
                return printable(text[:at], keep="\t") + _traceback(text[at:])
        return printable(text, keep="\t")


def _traceback(text: str) -> str:
    """Return the lines of a traceback, of which none begins like a line of the log.

    Formatters other than oslo.log's write no prefix before them, and the error's own text may
    have any lines.
    """
    empty, first, *lines = printable(text, keep="\t\n").split("\n")
    if first.startswith(_HEADS):
        lines = [line if line.startswith(" ") or not line else f"  {line}" for line in lines]
    return "\n".join((empty, first, *lines))


def protect_handlers() -> None:
    """Have every handler of a logger write printable lines; a second time has no effect."""
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in logger.handlers if isinstance(logger, logging.Logger) else ():
            inner = handler.formatter or logging.Formatter()
            if not isinstance(inner, PrintableFormatter):
                handler.setFormatter(PrintableFormatter(inner))
