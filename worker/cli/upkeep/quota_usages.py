# SPDX-License-Identifier: Apache-2.0
"""holdfast quota: compare usages with rows and reservations, and correct them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from worker.cli.access import CommandError
from worker.cli.upkeep.outcome import Outcomes, not_empty

if TYPE_CHECKING:
    from worker.db.records.quotas.usage_check import UsageDifference


class _OnUsages(Outcomes):
    """A command on the usages of one project, or of all."""

    keys = ("project_id", "resource", "column", "saved", "actual", "outcome")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the project."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        project = "only this one (default: all)"
        parser.add_argument("--project", metavar="ID", type=not_empty, help=project)
        return parser

    def _projects(self, wanted: str | None) -> list[str]:
        """Return the projects. :raises CommandError: the wanted one has no usages."""
        found = self.access.records.usage_checks.projects()
        if wanted is not None and wanted not in found:
            raise CommandError(f"project {wanted} has no quota usages")
        return found if wanted is None else [wanted]


class Check(_OnUsages):
    """List quota usages that differ from the rows and reservations; exit status 1 if there are any.

    Operations may run meanwhile. The amount in use of a resource with open reservations is not
    compared.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Compare."""
        checks = self.access.records.usage_checks
        found = [
            one for project in self._projects(parsed_args.project) for one in checks.check(project)
        ]
        if found:
            self.refuse()
        return self.table(parsed_args, [_row(one, "differs") for one in found])


class Sync(_OnUsages):
    """Correct quota usages that differ from the rows and reservations.

    Each project is one transaction. Several rows of one usage become one, with the reservations of
    all. holdfast quota check shows the differences without correcting them.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Compare and correct."""
        checks = self.access.records.usage_checks
        found = [
            one for project in self._projects(parsed_args.project) for one in checks.sync(project)
        ]
        return self.table(parsed_args, [_row(one, "corrected") for one in found])


def _row(difference: UsageDifference, outcome: str) -> dict[str, Any]:
    return {
        "project_id": difference.project_id,
        "resource": difference.resource,
        "column": difference.column,
        "saved": difference.saved,
        "actual": difference.actual,
        "outcome": outcome,
    }
