# SPDX-License-Identifier: Apache-2.0
"""holdfast audit: find differences between places that should agree."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from worker.cli.access import Access, CommandError, Lister

if TYPE_CHECKING:
    from worker.audit.drift_search import Finding

_NOTHING, _DRIFT, _UNABLE = 0, 1, 2
"""Exit status: nothing was found; drift was found; a place could not be read, or the command
line is wrong."""

_HEADS = ("Kind", "Type", "ID", "Host", "Repair", "Details", "Outcome")
_KEYS = ("kind", "resource_type", "resource_id", "host", "repair", "details", "outcome")
"""Heads of a table, and keys of other formats."""


class Audit(Lister):
    """Find drift: differences between rows, backends, journal, locks, quota and backups.

    Backends are those of the configuration; their services list the objects. Nothing is
    changed, unless --fix names a kind. Resources of unfinished operations, and rows that were
    just written, do not count. Exit status 0: no drift; 1: drift, repaired or not; 2: a place
    could not be read.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which kinds and backends."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add = parser.add_argument
        repeated: dict[str, Any] = {"action": "append", "default": []}
        add("--kind", metavar="KIND", help="only this kind; may be repeated", **repeated)
        add("--backend", metavar="NAME", help="only this backend; may be repeated", **repeated)
        fix = "repair this kind, as far as holdfast audit kinds has a repair; may be repeated"
        add("--fix", metavar="KIND", help=fix, **repeated)
        recent = "seconds in which a written row counts as work in progress (default: 300)"
        add("--recent", type=_seconds, default=300.0, metavar="SECONDS", help=recent)
        pause = "seconds between the two looks (default: 5)"
        add("--pause", type=_seconds, default=5.0, metavar="SECONDS", help=pause)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the drift, and return the exit status."""
        try:
            super().run(parsed_args)
        except CommandError as error:
            self.app.LOG.error(str(error))
            return _UNABLE
        if self._report.findings:
            return _DRIFT
        return _UNABLE if self._report.unable else _NOTHING

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Look, repair, and write the figures for the metrics."""
        run = _run(self.access)
        self._report, outcomes = run.audited(self.access, parsed_args, self.warn)
        heads = _HEADS if parsed_args.formatter == "table" else _KEYS
        return heads, [
            (*_row(one), outcome)
            for one, outcome in zip(self._report.findings, outcomes, strict=True)
        ]


class Kinds(Lister):
    """List the kinds of drift that an audit finds."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the table of kinds."""
        heads = ("Kind", "Compared", "Meaning", "Remedy", "Repair")
        keys = ("kind", "compared", "meaning", "remedy", "repair")
        rows = [
            (one.name, one.subject, one.meaning, one.remedy, one.repair)
            for one in _run(self.access).KINDS
        ]
        return heads if parsed_args.formatter == "table" else keys, rows


def _run(access: Access) -> Any:
    """Return the module that carries the commands out."""
    _ = access.conf  # before the modules that it configures are imported
    # Late: SQLAlchemy and taskflow take a second, which help does not need.
    from worker.cli.auditing import audit_run

    return audit_run


def _row(finding: Finding) -> tuple[str, ...]:
    drift = finding.drift
    resource = drift.resource_type, drift.resource_id, drift.host or ""
    return finding.kind.name, *resource, _repair(finding), drift.details


def _repair(finding: Finding) -> str:
    return finding.kind.repair if finding.can_be_repaired else ""


def _seconds(text: str) -> float:
    found = float(text)
    if not 0 <= found <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0 to 86400")
    return found
