# SPDX-License-Identifier: Apache-2.0
"""holdfast db: make the tables, or say whether existing ones fit."""

from __future__ import annotations

import argparse
from typing import Any

from worker.cli.access import Command, Lister


class Sync(Command):
    """Make or migrate the tables of a standalone database, and the journal's.

    Run it as the user of the service, who is to own the files that it creates. It may be
    repeated. A database that Cinder migrates is left alone: see db check.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Run the migrations."""
        conf = self.access.conf
        # Late: help needs no configuration, which loads 50 modules.
        from worker.conf import database_files, state_path
        from worker.db import sync

        self.access.require_own_files()
        state_path.prepare(conf)
        database_files.require_writable(conf)
        sync.sync(self.access.open_database())
        journal = self.access.open_journal()
        journal.upgrade()
        journal.close()
        self.write("the tables are up to date")


class Check(Lister):
    """Report, table by table, whether the database fits; exit status 1 when it does not."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Compare every table."""
        database = self.access.database
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.db import models, schema_check

        findings = schema_check.check(database)
        wrong = {finding.table for finding in findings}
        rows = [(table, "fits") for table in sorted(models.metadata.tables) if table not in wrong]
        rows += [(finding.table, finding.text) for finding in findings]
        self._misfits = bool(findings)
        return ("Table", "Finding"), sorted(rows)

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the findings."""
        return super().run(parsed_args) or int(self._misfits)
