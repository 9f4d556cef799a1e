# SPDX-License-Identifier: Apache-2.0
"""The option --limit of commands that read rows."""

from __future__ import annotations

import argparse
from collections.abc import Callable

DEFAULT = 1000
"""Rows of the journal that a list shows."""

_MOST = 1_000_000


def number_of_rows(least: int = 1) -> Callable[[str], int]:
    """Return the type of an argument that is a number of rows.

    :param least: the smallest number with a meaning.
    """

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text[:20]) <= _MOST:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no number of rows from {least} to {_MOST}"
            )
        return int(text)

    return read


def add_row_limit(parser: argparse.ArgumentParser) -> None:
    """Add the option to a list of the journal."""
    newest = f"the newest N (default: {DEFAULT})"
    parser.add_argument("--limit", type=number_of_rows(), metavar="N", default=DEFAULT, help=newest)
