# SPDX-License-Identifier: Apache-2.0
"""Texts of others in log lines and on terminals: each character shows itself, or an escape.

Names, methods, ids and errors hold whatever a tenant or a driver has written: escape sequences
that a terminal obeys, line breaks that forge log lines, and characters that are invisible or
change the direction of the text.
"""

from __future__ import annotations

import logging

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


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
        head, traceback = text, ""
        if record.exc_text and (at := text.rfind("\n" + record.exc_text)) >= 0:
            head, traceback = text[:at], text[at:]
        elif record.stack_info:
            head, line_break, traceback = text.partition("\n")
            traceback = line_break + traceback
        return printable(head, keep="\t") + printable(traceback, keep="\t\n")


def protect_handlers() -> None:
    """Have every handler of a logger write printable lines; a second time has no effect."""
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in logger.handlers if isinstance(logger, logging.Logger) else ():
            inner = handler.formatter or logging.Formatter()
            if not isinstance(inner, PrintableFormatter):
                handler.setFormatter(PrintableFormatter(inner))
