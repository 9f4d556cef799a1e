# SPDX-License-Identifier: Apache-2.0
"""holdfast top: watch the operations that run and wait, and the services."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

from worker.cli.access import Command
from worker.cli.output.colour import Colour
from worker.printable import printable

_CLEAR = "\033[H\033[J"
"""Moves to the begin of the screen, and clears it."""

_SIZE = (120, 40)
"""Columns and lines of output that goes to no terminal."""

_HEAD = ("Flow", "Method", "Resource", "State", "Task", "Done", "Age", "Int")
_WIDTHS = (8, 18, 43, 9, 12, 4, 9, 3)


class Top(Command):
    """Watch the operations that run and wait, the oldest first, and the services.

    The screen is written anew every few seconds until Ctrl-C. Output that goes to no terminal, and
    -f json, are written once. The column Int counts interruptions without progress. The column Task
    has, in brackets, the reason why an operation waits, as the journal shows it: (turn) on its
    resource, (project) for the limit of its project, (thread) for a thread. The journal is that of
    this host, or the shared one of a cluster.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the format and the interval."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add = parser.add_argument
        add("-f", "--format", choices=("text", "json"), default="text", help="default: text")
        add("--once", action="store_true", help="write the screen once")
        every = "seconds between two screens (default: 2)"
        add("--interval", type=_interval, default=2.0, metavar="SECONDS", help=every)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read and write, once or until Ctrl-C."""
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.cli.explain import activity

        stream = self.app.stdout
        if parsed_args.format == "json":
            self.write(*json.dumps(activity.read(self.access), indent=2).split("\n"))
            return 0
        once = parsed_args.once or not stream.isatty()
        try:
            while True:
                found = activity.read(self.access)
                columns, rows = shutil.get_terminal_size(_SIZE)
                if not once:
                    stream.write(_CLEAR)
                self.write(*lines(found, Colour(stream), columns, rows))
                if once:
                    return 0
                time.sleep(parsed_args.interval)
        except KeyboardInterrupt:
            return 0


def lines(found: Mapping[str, Any], colour: Colour, columns: int, rows: int) -> Iterator[str]:
    """Return a screen."""
    yield from (one[:columns] for one in _summary(found))
    yield ""
    yield colour(_row(_HEAD)[:columns], "strong")
    operations = found["operations"]
    room = max(1, rows - 6)
    for one in operations[:room]:
        yield colour.state(_row(_cells(one))[:columns], one["state"])
    if len(operations) > room:
        yield f"and {len(operations) - room} more"
    if not operations:
        yield "no operation runs or waits"


def _summary(found: Mapping[str, Any]) -> Iterator[str]:
    services = found["services"]
    down = [f"{one['binary']} {one['host']}" for one in services if one["state"] != "up"]
    disabled = sum(one["disabled"] for one in services)
    yield (
        f"{found['at'][:19]} UTC   {found['running']} running, {found['waiting']} waiting"
        f"{_reasons(found['waiting_for'])}, "
        f"{found['failed_last_hour']} failed in the last hour"
    )
    shown = f": {', '.join(down)}" if down else ""
    up = len(services) - len(down)
    yield f"services: {up} up, {disabled} of all disabled, {len(down)} down{shown}"


def _reasons(waiting: Mapping[str, int]) -> str:
    """Return for what operations wait."""
    shown = ", ".join(f"{number} for {reason}" for reason, number in waiting.items() if number)
    return f" ({shown})" if shown else ""


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    done = "" if one["progress"] is None else f"{one['progress']:.0%}"
    return (
        one["flow"],
        one["method"],
        one["resource"],
        one["state"],
        one["task"] or (f"({one['waits_for']})" if one["waits_for"] else ""),
        done,
        _age(one["age_s"]),
        str(one["interruptions"] or ""),
    )


def _row(cells: tuple[str, ...]) -> str:
    """Return cells in columns; a cell that is too long is cut."""
    padded = (
        f"{printable(cell)[:width]:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)
    )
    return "  ".join(padded).rstrip()


def _age(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    minutes = f"{rest // 3600:02d}:{rest // 60 % 60:02d}"
    return f"{days}d {minutes}" if days else f"{minutes}:{rest % 60:02d}"


def _interval(text: str) -> float:
    """Return seconds. :raises ArgumentTypeError: too few, or no number."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.1 <= found <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 to 3600")
    return found
