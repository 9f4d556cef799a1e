# SPDX-License-Identifier: Apache-2.0
"""holdfast service log-levels: show and change log levels of a running service."""

from __future__ import annotations

import argparse
import time
from typing import Any

from worker.cli.access import CommandError
from worker.cli.hosts.services import of_one_binary
from worker.cli.upkeep.outcome import Outcomes, not_empty

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TAKES_EFFECT = 5.0
"""Seconds to wait for new levels."""


class LogLevels(Outcomes):
    """Show the log levels of a running service, or set those of some loggers until its next start.

    All processes of a backend get new levels; those that are shown are of one process. Of a backup
    service with several workers one gets them: the option debug, with a SIGHUP, changes all.

    Examples:
      holdfast service log-levels node@local --prefix worker
      holdfast service log-levels node@local --prefix flows --set DEBUG
    """

    keys = ("binary", "host", "logger", "level")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the service, the loggers and the level."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        add = parser.add_argument
        add("host", metavar="HOST", type=not_empty, help="as holdfast service list shows it")
        add("--binary", metavar="NAME", type=not_empty, help="as cinder-backup")
        add("--prefix", default="", help="beginning of the names of loggers (default: all)")
        add("--set", dest="level", type=str.upper, choices=_LEVELS, help="the new level")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Ask, and set."""
        binary, host, prefix = self._binary(parsed_args), parsed_args.host, parsed_args.prefix
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.cli.hosts.level_requests import LevelRequests

        requests = LevelRequests(self.access, binary, host)
        found = requests.levels(prefix)
        if not found:
            raise CommandError(f"{host} has no logger whose name begins with {prefix!r}")
        if parsed_args.level:
            requests.set_levels(prefix, parsed_args.level)
            found = self._until(requests, prefix, parsed_args.level)
        place = {"binary": binary, "host": host}
        rows = [{**place, "logger": name, "level": level} for name, level in found.items()]
        return self.table(parsed_args, rows)

    def _until(self, requests: Any, prefix: str, level: str) -> dict[str, str]:
        """Return the levels once they are as wanted; the message is not answered itself."""
        until = time.monotonic() + _TAKES_EFFECT
        while set((found := requests.levels(prefix)).values()) != {level}:
            if time.monotonic() > until:
                self.warn("the levels have not changed; another process may have the message")
                self.refuse()
                break
            time.sleep(0.2)
        return dict(found)

    def _binary(self, options: argparse.Namespace) -> str:
        """Return the binary of the service. :raises CommandError: there is none, or several."""
        return str(of_one_binary(self.access.records.services, options)[0].binary)
