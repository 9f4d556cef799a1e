# SPDX-License-Identifier: Apache-2.0
"""A command that prints a row for each thing that it has changed, or refused to change."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from worker.cli.access import KEYED, CommandError, Lister, plain

REFUSED = 1
"""The exit status where nothing matched, or a change was refused."""


class Outcomes(Lister):
    """A command whose formats for programs have stable keys, and whose exit status has a meaning.

    The exit status is 0; 1 where nothing matched or a change was refused; 2 for wrong usage.
    """

    keys: tuple[str, ...] = ()
    """Names of the columns in snake_case; tables show them as words."""

    _status = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command and return its exit status."""
        return super().run(parsed_args) or self._status

    def refuse(self) -> None:
        """Let the command end with the exit status of a refusal, after its output."""
        self._status = REFUSED

    def table(self, parsed_args: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return rows as cliff prints them."""
        heads: Sequence[str] = self.keys
        if parsed_args.formatter not in KEYED:
            heads = [name.replace("_", " ").capitalize() for name in self.keys]
            return heads, [tuple(plain(row[name]) for name in self.keys) for row in rows]
        return heads, [tuple(row[name] for name in self.keys) for row in rows]


def with_dry_run(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the option that changes nothing."""
    parser.add_argument("--dry-run", action="store_true", help="print the changes, make none")
    return parser


def not_empty(text: str) -> str:
    """Return a name. :raises ArgumentTypeError: it is empty, as a shell variable may be."""
    if not text.strip():
        raise argparse.ArgumentTypeError("a name is missing")
    return text


def require_any(found: Sequence[Any], label: str) -> None:
    """:raises CommandError: nothing matched."""
    if not found:
        raise CommandError(f"there is no {label}")
