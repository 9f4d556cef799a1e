# SPDX-License-Identifier: Apache-2.0
"""holdfast config: check a configuration."""

from __future__ import annotations

import argparse
import logging

from worker.cli.access import Command, CommandError
from worker.cli.output.colour import Colour
from worker.cli.output.migration_report import Report


class Check(Command):
    """Check configuration files: unknown and wrong options, with file and line.

    Exit status 1 when something prevents a start; warnings do not. With --cinder the files
    are Cinder's, and the output is a report on moving over to these services.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the files."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        files = "file to check, instead of --config-file and of the default places"
        parser.add_argument("file", nargs="*", metavar="FILE", help=files)
        cinder = "report on a move from Cinder with these files (default: those of Cinder)"
        parser.add_argument("--cinder", action="store_true", help=cinder)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print each problem."""
        # Its warnings about old names go to the log at start-up.
        logging.getLogger("oslo_config").setLevel(logging.ERROR)
        # Late: help needs no configuration, which loads 50 modules.
        from worker.conf.check import checker, config_files
        from worker.service import volume

        wanted = parsed_args.file or self.app.options.config_file
        project = "cinder" if parsed_args.cinder else "holdfast"
        files = wanted or config_files.chosen([], project, f"{project}-volume", None)
        if not files:
            raise CommandError("there is no configuration file: name one, or make one in /etc")
        if parsed_args.cinder:
            report = Report(
                files, checker.examine(files, volume.operations()), Colour(self.app.stdout)
            )
            self.write(*report.lines())
            return int(report.prevents)
        problems = checker.check(files, volume.operations())
        for problem in problems:
            self.write(f"{'error' if problem.fatal else 'warning'}: {problem}")
        if not problems:
            self.write(f"nothing wrong in {', '.join(files)}")
        return int(any(problem.fatal for problem in problems))
