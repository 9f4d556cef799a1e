# SPDX-License-Identifier: Apache-2.0
"""holdfast config: say what is wrong with a configuration."""

from __future__ import annotations

import argparse

from worker.cli.access import Command, CommandError


class Check(Command):
    """Check configuration files: unknown and wrong options, with file and line.

    Exit status 1 when something prevents a start; warnings do not.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the files."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        files = "what is checked, instead of --config-file and of the places that a start looks at"
        parser.add_argument("file", nargs="*", metavar="FILE", help=files)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print each problem."""
        from worker import nogreen  # noqa: F401  before anything of oslo
        from worker.conf import check, source

        wanted = parsed_args.file or self.app.options.config_file
        files = wanted or source.chosen([], "holdfast", "holdfast-volume", None)
        if not files:
            raise CommandError("there is no configuration file: name one, or make one in /etc")
        problems = check.check(files)
        for problem in problems:
            self.app.stdout.write(f"{'error' if problem.fatal else 'warning'}: {problem}\n")
        if not problems:
            self.app.stdout.write(f"nothing wrong in {', '.join(files)}\n")
        return int(any(problem.fatal for problem in problems))
