# SPDX-License-Identifier: Apache-2.0
"""holdfast: the operator's command line."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from worker import nogreen  # noqa: F401  first: it keeps eventlet out of the process

from cliff.app import App  # isort: skip
from cliff.commandmanager import CommandManager  # isort: skip

VERSION = "0.1.0"


class Holdfast(App):
    """``holdfast <noun> <verb>``."""

    def __init__(self) -> None:
        super().__init__(
            description="Look after holdfast: its database, its casts and flows, its volumes.",
            version=VERSION,
            command_manager=CommandManager("holdfast.cli"),
            deferred_help=True,
        )

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, Any] | None = None,
    ) -> argparse.ArgumentParser:
        """Add where the configuration is read from."""
        parser = super().build_option_parser(description, version)
        parser.add_argument(
            "--config-file",
            action="append",
            default=[],
            metavar="FILE",
            help="configuration file; may be given several times",
        )
        return parser

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command; what goes wrong is one line and the exit status 1."""
        try:
            return int(super().run_subcommand(argv) or 0)
        except Exception as error:
            if self.options.debug:
                raise
            sys.stderr.write(f"holdfast: {_line(error)}\n")
            return 1


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    return int(Holdfast().run(sys.argv[1:] if argv is None else argv))


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
