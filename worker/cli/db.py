# SPDX-License-Identifier: Apache-2.0
"""holdfast db: make the tables, or say whether existing ones fit."""

from __future__ import annotations

import argparse
from typing import Any

from worker.cli.access import Command, Lister


class Sync(Command):
    """Make or migrate the tables of a standalone database."""

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run the migrations."""
        from worker.conf import state
        from worker.db import sync

        state.prepare(self.access.conf)
        sync.sync(self.access.database)
        self.app.stdout.write("the tables are up to date\n")


class Check(Lister):
    """Say, table by table, whether the database fits; exit status 1 when it does not."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Compare every table."""
        from worker.db import check, models

        findings = check.check(self.access.database)
        wrong = {finding.table for finding in findings}
        rows = [(table, "fits") for table in sorted(models.metadata.tables) if table not in wrong]
        rows += [(finding.table, finding.text) for finding in findings]
        self._misfits = bool(findings)
        return ("Table", "Finding"), sorted(rows)

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the findings."""
        super().run(parsed_args)
        return int(self._misfits)
