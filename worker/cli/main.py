# SPDX-License-Identifier: Apache-2.0
"""holdfast: the operator's command line."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from importlib import metadata
from typing import Any

from worker.compat import native_threads  # noqa: F401  first: it keeps eventlet out of the process

from cliff.app import App  # isort: skip
from cliff.commandmanager import CommandManager  # isort: skip
from cliff.help import HelpExit  # isort: skip

from worker import file_modes
from worker.cli.output.printable_errors import PrintableFormatter, with_printable_errors
from worker.printable import printable

_CLOSED = 128 + signal.SIGPIPE
"""The exit status of a command whose output was closed, as a shell has it."""


class Holdfast(App):
    """``holdfast <noun> <verb>``."""

    NAME = "holdfast"
    LOG = logging.getLogger(NAME)
    CONSOLE_MESSAGE_FORMAT = "holdfast: %(message)s"

    def __init__(self) -> None:
        super().__init__(
            description="Inspect and control Holdfast: its database, casts, flows and volumes.",
            version=metadata.version("holdfast"),
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
        parser = super().build_option_parser(description, version, {"prog": "holdfast"})
        parser.add_argument(
            "--config-file",
            action="append",
            default=[],
            metavar="FILE",
            help="configuration file; may be given several times",
        )
        return with_printable_errors(parser)

    def configure_logging(self) -> None:
        """Keep messages of libraries off the screen, unless -v asks for them.

        Lines that are shown have printable characters.
        """
        asked = self.options.verbose_level
        self.options.verbose_level = max(0, asked - 1)
        root = logging.getLogger()
        before = list(root.handlers)
        super().configure_logging()
        self.options.verbose_level = asked
        for handler in root.handlers:
            if handler not in before:
                handler.setFormatter(PrintableFormatter(self.CONSOLE_MESSAGE_FORMAT))

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command; cliff writes words that are none as they are."""
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            argv = [printable(word) for word in argv]
        return int(super().run_subcommand(argv))

    def interact(self) -> None:
        """Show the help: an interactive shell would be one more thing to learn."""
        self.options.deferred_help = True
        with contextlib.suppress(HelpExit):
            self.print_help_if_requested()


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    file_modes.restrict()
    status = int(Holdfast().run(sys.argv[1:] if argv is None else argv))
    return _flushed(status)


def _flushed(status: int) -> int:
    """Write the rest of the output; return the exit status.

    Python would do it after the end, and print a traceback where it fails.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has seen enough, as head
            return status or _CLOSED
        sys.stderr.write(f"{Holdfast.NAME}: the output is not whole: {error.strerror}\n")
        return status or 1
    return status


if __name__ == "__main__":
    sys.exit(main())
