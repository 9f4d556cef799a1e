# SPDX-License-Identifier: Apache-2.0
"""Errors of commands in printable characters: log lines on the screen, and refused arguments.

They repeat texts of others: an operator copies an id from a ticket, and a library logs the text
of a row.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any, NoReturn

from worker.printable import printable


class PrintableFormatter(logging.Formatter):
    """Writes each message as one printable line; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (of the library)
        """Return the line of a message."""
        return printable(super().formatMessage(record), keep="\t")

    def formatException(self, ei: Any) -> str:  # noqa: N802  (of the library)
        """Return the lines of a traceback."""
        return printable(super().formatException(ei), keep="\n")


def with_printable_errors(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Have a parser report arguments that it refuses in printable characters; return it."""
    report = parser.error

    def error(message: str) -> NoReturn:
        report(printable(message))

    parser.error = error  # type: ignore[method-assign]
    return parser
