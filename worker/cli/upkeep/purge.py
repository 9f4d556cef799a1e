# SPDX-License-Identifier: Apache-2.0
"""holdfast db purge: remove rows that were deleted long ago."""

from __future__ import annotations

import argparse
import datetime
from typing import Any

from oslo_utils import timeutils

from worker.cli.upkeep.outcome import Outcomes, with_dry_run

_MOST_DAYS = 36_500


class Purge(Outcomes):
    """Remove rows that users or services have deleted some days ago, and that are kept until then.

    Services may run meanwhile: a transaction has 1000 rows. Rows stay to which other rows refer. An
    age of 0 removes all deleted rows. The usage audit and imports of backups need deleted rows, so
    keep them for longer than a period of the audit.
    """

    keys = ("table", "rows", "outcome")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the age."""
        parser = with_dry_run(super().get_parser(prog_name))
        age = "of the deletion, at least"
        parser.add_argument("days", metavar="DAYS", type=_days, help=age)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Remove, or count."""
        before = timeutils.utcnow() - datetime.timedelta(days=parsed_args.days)
        purged = self.access.records.purged
        found = purged.count(before) if parsed_args.dry_run else purged.purge(before)
        outcome = "would remove" if parsed_args.dry_run else "removed"
        rows = [
            {"table": name, "rows": count, "outcome": outcome}
            for name, count in sorted(found.items())
            if count
        ]
        return self.table(parsed_args, rows)


def _days(text: str) -> int:
    """Return an age. :raises ArgumentTypeError: it is none."""
    if not text.isascii() or not text.isdigit() or int(text) > _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days up to {_MOST_DAYS}")
    return int(text)
