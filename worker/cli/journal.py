# SPDX-License-Identifier: Apache-2.0
"""holdfast journal: show how full it is, check its file, or replace a damaged one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from oslo_utils import units

from worker.cli.access import Access, Command, CommandError, ShowOne, plain
from worker.journal import sqlite_file


class Status(ShowOne):
    """Show how much the journal holds, and how much was removed by its limits.

    Failed operations and rejected messages are limited together, by [journal] keep_failed_mib:
    removed failures are those that were removed before keep_failed days had passed.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the journal."""
        usage, path = self.access.journal.usage(), self.access.journal_file
        limits = self.access.conf.journal
        shown: dict[str, Any] = {
            "unfinished": usage.unfinished,
            "finished": usage.finished,
            "failed": usage.failed,
            "rejected": usage.rejected,
            "rejected limit": limits.keep_rejected,
            "failed bytes": usage.kept_bytes,
            "failed bytes limit": limits.keep_failed_mib * units.Mi,
            "removed failures": usage.removed_entries,
            "removed bytes": usage.removed_bytes,
            "last removal": plain(usage.removed_at),
        }
        if path is not None:
            shown |= {"file": str(path), "file bytes": sqlite_file.size(path)}
        return list(shown), list(shown.values())


class Check(Command):
    """Read the whole journal and print each problem; exit status 1 when there is one.

    A service may be running meanwhile. A journal on a database server is checked with the
    tools of that server.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Check the file."""
        path = _file(self.access)
        found = sqlite_file.problems(path)
        self.write(*map(str, found))
        if not found:
            self.write(f"the journal {path} is sound")
            return 0
        self.write(
            f"the journal {path} is damaged; stop the services, then: holdfast journal replace"
        )
        return 1


class Replace(Command):
    """Rename a damaged journal and begin a new one with its operations.

    Run it as the user of the service, while no service runs. Operations are copied only if
    every one can be read. Otherwise the new journal is empty: the services end resources in
    transient statuses after their next start, as far as no message waits for them.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Replace the file."""
        path = _file(self.access)
        if not sqlite_file.problems(path):
            raise CommandError(f"the journal {path} is sound; nothing is replaced")
        if users := sqlite_file.users(path):
            shown = ", ".join(str(pid) for pid in users)
            raise CommandError(f"the journal {path} is in use by process {shown}: stop it first")
        done = sqlite_file.put_aside(path)
        self.write(f"the damaged journal is {done.path} now")
        if done.copied is None:
            self.write("its operations cannot be read completely; none was copied")
        else:
            self.write(f"{done.copied} entries were copied to the new journal")
        return 0


def _file(access: Access) -> Path:
    if access.journal_file is None:
        raise CommandError("the journal is no file; use the tools of its database server")
    access.require_journal()
    return access.journal_file
