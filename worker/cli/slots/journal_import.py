# SPDX-License-Identifier: Apache-2.0
"""holdfast journal import: give the operations of a rescued file to living hosts."""

from __future__ import annotations

import argparse
from pathlib import Path

from worker.cli.access import Command, CommandError
from worker.cli.slots.slot import note_of, table_of


class Import(Command):
    """Copy the unfinished operations of a journal in SQLite into the shared journal.

    A living process of the pool adopts them. Use it for a host that does not come back, and whose
    file was rescued. A second import of the same file changes nothing.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file and the pool."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("file", metavar="FILE", help="the journal, with its -wal beside it")
        which = parser.add_mutually_exclusive_group()
        pool = "whose processes adopt the operations (default: the pool of the former host alone)"
        which.add_argument("--pool", metavar="POOL", help=pool)
        cluster = "take the pool CLUSTER@BACKEND for the operations of each backend"
        which.add_argument("--cluster", metavar="CLUSTER", help=cluster)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Copy the operations."""
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.journal import sqlite_file

        slots, path = table_of(self.access), Path(parsed_args.file)
        if not path.is_file():
            raise CommandError(f"there is no file {path}")
        if found := sqlite_file.problems(path):
            raise CommandError(f"{path} is damaged ({found[0]}): nothing is imported")
        if users := sqlite_file.users(path):
            shown = ", ".join(map(str, users))
            raise CommandError(f"the journal {path} is in use by process {shown}: stop it first")
        imported = self.access.journal.slots.import_file(path)
        if not imported:
            self.write(f"the journal {path} has no unfinished operations")
        left = self.access.journal.slots.unfinished()
        for one in imported:
            pool = parsed_args.pool or _pool(one.host, parsed_args.cluster)
            if one.name in left:
                slots.offer(one.name, pool, one.host)
            known = f", {one.known} were known" if one.known else ""
            waits = f"a process of pool {pool}{note_of(slots, pool)}"
            text = f"{one.slot}: {one.copied} operations wait for {waits}{known}"
            self.write(text)


def _pool(host: str, cluster: str | None) -> str:
    _node, divided, backend = host.partition("@")
    return f"{cluster}@{backend}" if cluster and divided else host
