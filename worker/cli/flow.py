# SPDX-License-Identifier: Apache-2.0
"""holdfast flow: list, show, draw, cancel, resume and revert flows."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from worker.cli.access import Command, CommandError, Lister, ShowOne
from worker.cli.lookup.row_limit import add_row_limit
from worker.cli.output.colour import Colour
from worker.cli.upkeep import resume_query

UNDONE = ("REVERTED", "FAILURE")
UNDER_WAY = ("PENDING", "RUNNING", "REVERTING", "SUSPENDING", "SUSPENDED", "RESUMING")
_TIMEOUT = 10.0
"""Seconds to wait for the answer to a request."""

_ONE = "id of a flow, or of a resource for its newest flow; may be abbreviated"
_FORMATS = ("text", "dot", "mermaid")


class List(Lister):
    """List flows, the newest first: unfinished ones, or ended ones as well."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which ones."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--unfinished", action="store_true", help="not ended (the default)")
        which.add_argument("--failed", action="store_true", help="failed and reverted")
        which.add_argument("--all", action="store_true", help="ended ones as well")
        volume = "only those of this volume, ended ones as well unless others are chosen"
        parser.add_argument("--volume", metavar="ID", help=volume)
        add_row_limit(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the journal."""
        chosen = parsed_args.failed or parsed_args.unfinished
        everything = parsed_args.all or (parsed_args.volume is not None and not chosen)
        among = None if everything else UNDONE if parsed_args.failed else UNDER_WAY
        if parsed_args.volume is None:
            entries = self.access.journal.entries(among=among, limit=parsed_args.limit)
        else:
            entries = self.access.flows_of_volume(parsed_args.volume, among)
            entries = entries[: parsed_args.limit]
        _graph, flow_rows = _output()
        return flow_rows.HEADS, flow_rows.rows(self.access, entries)


class Show(ShowOne):
    """Show a flow: its tasks, their states and times, and its failure."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", metavar="ID", help=_ONE)
        parser.add_argument("--traceback", action="store_true", help="where it failed")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the journal."""
        entry = self.access.flow(parsed_args.id)
        # -v is cliff's own; it means the same here.
        traceback = parsed_args.traceback or self.app.options.verbose_level > 1
        _graph, flow_rows = _output()
        shown = flow_rows.shown(self.access, entry, traceback=traceback)
        return list(shown), list(shown.values())


class _Request(Command):
    """A request to the process that owns the flow."""

    action: str

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        self._add_id(parser)
        return parser

    def _add_id(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("id", metavar="ID", help=_ONE)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Ask, and wait for the answer."""
        entry, requests = self.access.flow(parsed_args.id), self.access.journal.requests
        number = requests.ask(entry.slot, entry.flow, self.action)
        until = time.monotonic() + _TIMEOUT
        while (answer := requests.answer_of(number)) is None:
            if time.monotonic() > until:
                text = f"no process serves {entry.slot} now; it is done when one does"
                raise CommandError(f"{self.action} of flow {entry.flow} waits: {text}")
            time.sleep(0.1)
        if not answer.done:
            raise CommandError(answer.text)
        label = f"{entry.method} of {entry.resource}"
        self.write(f"{label}: {answer.text}; see: holdfast flow show {entry.flow}")
        return 0


class Resume(_Request):
    """Run a failed and reverted operation once more, or all that match some conditions.

    Examples:
      holdfast flow resume ID
      holdfast flow resume --failed --since 1h --error Timeout --dry-run
      holdfast flow resume --failed --method create_volume -f json

    Only the newest operation of each resource is resumed. The exit status is 1 where none matched,
    or where one was refused or has no answer yet.
    """

    action = "resume"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the conditions."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        resume_query.add_options(parser)
        form = "format of the list of --failed (default: text)"
        parser.add_argument("-f", "--format", choices=("text", "json"), default="text", help=form)
        return parser

    def _add_id(self, parser: argparse.ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("id", metavar="ID", nargs="?", help=_ONE)
        which.add_argument("--failed", action="store_true", help="all failed ones that match")

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Ask for one, or for all that match."""
        if parsed_args.id:
            return super().take_action(parsed_args)
        if parsed_args.limit < 1:
            raise CommandError(f"--limit {parsed_args.limit} would resume nothing")
        rows = resume_query.resume(self.access, parsed_args, UNDONE)
        if parsed_args.format == "json":
            self.write(*json.dumps(rows, indent=2).split("\n"))
        else:
            self.write(*map(_resumed, rows))
        wanted = (resume_query.ACCEPTED, resume_query.PLANNED)
        refused = [row for row in rows if row["outcome"] not in (*wanted, resume_query.SKIPPED)]
        if not any(row["outcome"] in wanted for row in rows) and not refused:
            raise CommandError("no failed operation that can be resumed matches")
        return 1 if refused else 0


class Revert(_Request):
    """Revert a running operation, or finish an incomplete revert."""

    action = "revert"


class Cancel(_Request):
    """Revert a running operation, from its next task boundary on."""

    action = "cancel"


class Graph(Command):
    """Draw a flow: of an id, with the states of its tasks, or of a factory by name.

    Examples:
      holdfast flow graph ID
      holdfast flow graph volume.create
      holdfast flow graph flows.volume.connections.connection:initialize --format dot
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the flow and the format."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        which = "id of a flow or a resource, may be abbreviated; or the module of an operation"
        parser.add_argument("which", metavar="ID|FACTORY", help=which)
        parser.add_argument("--format", choices=_FORMATS, default="text", help="default: text")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Build the flow and draw it."""
        which, access = parsed_args.which, self.access
        flow_graph, _rows = _output()
        draw, paint = flow_graph.FORMATS[parsed_args.format], Colour(self.app.stdout)
        if "." in which or ":" in which:
            self.write(*draw(flow_graph.flow_of_factory(_path(which)), {}, paint))
            return
        flow, known = flow_graph.flow_of_entry(access.journal, access.flow(which))
        self.write(*draw(flow, known, paint))


def _path(which: str) -> str:
    """Complete a factory's name: ``volume.create`` is ``flows.volume.create:flow``."""
    module, _, name = which.partition(":")
    module = module if module.startswith("flows.") else f"flows.{module}"
    return f"{module}:{name or 'flow'}"


def _output() -> Any:
    """Return the modules that make rows and drawings of flows."""
    # Late: SQLAlchemy and taskflow take a second, which help does not need.
    from worker.cli.output import flow_graph, flow_rows

    return flow_graph, flow_rows


def _resumed(row: Mapping[str, Any]) -> str:
    """Return the line of an operation that was to be resumed."""
    answer = f" ({row['answer']})" if row["answer"] else ""
    label = f"{row['flow']}  {row['method']} of {row['resource']}"
    return f"{label}: {row['outcome']}{answer}; it failed: {row['failure']}"
