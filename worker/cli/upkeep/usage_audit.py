# SPDX-License-Identifier: Apache-2.0
"""holdfast usage audit: notify about the resources that existed in a period."""

from __future__ import annotations

import argparse
import datetime
from typing import Any

from oslo_utils import timeutils

from worker.cli.access import CommandError
from worker.cli.upkeep.outcome import Outcomes, with_dry_run

_FORMAT = "%Y-%m-%d %H:%M:%S"
_PERIODS = ("hour", "day", "month", "year")


class Audit(Outcomes):
    """Send volume.exists, snapshot.exists and backup.exists for what existed in a period.

    The period is the last complete one, or that of --start and --end, in UTC. Listeners of
    cinder-volume-usage-audit read the events. Rows that were purged have none.
    """

    keys = ("kind", "period_start", "period_end", "events", "outcome")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the period."""
        parser = with_dry_run(super().get_parser(prog_name))
        add = parser.add_argument
        period = "the last complete one (default: month)"
        add("--period", choices=_PERIODS, default="month", help=period)
        add("--start", type=_moment, metavar="TIME", help='as "2026-01-31 00:00:00"')
        add("--end", type=_moment, metavar="TIME", help="likewise")
        actions = "create.start, create.end, delete.start and delete.end as well"
        add("--send-actions", action="store_true", help=actions)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Send, or count."""
        begin, end = last(parsed_args.period, timeutils.utcnow())
        begin, end = parsed_args.start or begin, parsed_args.end or end
        if end <= begin:
            raise CommandError(f"the period ends at {end}, before its start at {begin}")
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.cli.upkeep.usage_events import UsageEvents

        events = UsageEvents(self.access, begin, end, actions=parsed_args.send_actions)
        found = events.count() if parsed_args.dry_run else events.send()
        outcome = "would send" if parsed_args.dry_run else "sent"
        times = {"period_start": str(begin), "period_end": str(end), "outcome": outcome}
        rows = [{"kind": kind, "events": count, **times} for kind, count in found.items()]
        return self.table(parsed_args, rows)


def last(period: str, at: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime]:
    """Return begin and end of the last complete period before a time."""
    if period == "hour":
        end = at.replace(minute=0, second=0, microsecond=0)
        return end - datetime.timedelta(hours=1), end
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return midnight - datetime.timedelta(days=1), midnight
    if period == "month":
        end = midnight.replace(day=1)
        return (end - datetime.timedelta(days=1)).replace(day=1), end
    end = midnight.replace(month=1, day=1)
    return end.replace(year=end.year - 1), end


def _moment(text: str) -> datetime.datetime:
    """Return a time. :raises ArgumentTypeError: it has another form."""
    try:
        return datetime.datetime.strptime(text, _FORMAT)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time as 2026-01-31 00:00:00") from None
