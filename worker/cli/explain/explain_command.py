# SPDX-License-Identifier: Apache-2.0
"""holdfast explain: all that is known about one id, and the commands that change its course."""

from __future__ import annotations

import argparse
import json
import shutil

from worker.cli.access import Command
from worker.cli.explain import explanation_text
from worker.cli.output.colour import Colour

_WIDEST = 120


class Explain(Command):
    """Explain a volume, snapshot, backup, group, request, message or flow by its id.

    It prints the row and its history, the operations with their tasks, attempts and failures, calls
    of the driver, messages for users, lines of this host's log, the next events, and the commands
    that change them. It only reads. The journal is that of this host, or the shared one of a
    cluster. -f json prints the whole document; its keys are stable.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id and the format."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        wanted = "an id, or the beginning of it; also the id of a request or of a message"
        parser.add_argument("id", metavar="ID", help=wanted)
        form = "default: text"
        parser.add_argument("-f", "--format", choices=("text", "json"), default="text", help=form)
        no_log = "do not search the logs of this host"
        parser.add_argument("--no-log", action="store_true", help=no_log)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Find the subject, gather, and print."""
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.cli.explain import explaining

        document = explaining.document_of(self.access, parsed_args.id, log=not parsed_args.no_log)
        if parsed_args.format == "json":
            self.write(*json.dumps(document, indent=2, default=str).split("\n"))
            return
        width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 0)).columns)
        self.write(*explanation_text.lines(document, Colour(self.app.stdout), width))
