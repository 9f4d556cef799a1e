# SPDX-License-Identifier: Apache-2.0
"""holdfast usage audit: notify about the resources that existed in a period."""

from __future__ import annotations

import argparse
import datetime
import re
from typing import Any

from oslo_utils import timeutils

from worker.cli.access import CommandError
from worker.cli.upkeep.outcome import Outcomes, with_dry_run

_FORMAT = "%Y-%m-%d %H:%M:%S"

_PERIOD = re.compile(
    r"hour|day(?:@(?:1?\d|2[0-3]))?|month(?:@(?:[1-9]|1\d|2[0-8]))?|year(?:@(?:[1-9]|1[0-2]))?"
)


class Audit(Outcomes):
    """Send volume.exists, snapshot.exists and backup.exists for all resources of a period.

    The period is the last complete one, or that of --start and --end, in UTC. Listeners of
    cinder-volume-usage-audit read the events. Rows that were purged have none.
    """

    keys = ("kind", "period_start", "period_end", "events", "outcome")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the period."""
        parser = with_dry_run(super().get_parser(prog_name))
        add = parser.add_argument
        period = "the last complete hour, day@H, month@D or year@M (default: as configured)"
        add("--period", type=_period, help=period)
        add("--start", type=_moment, metavar="TIME", help='as "2026-01-31 00:00:00"')
        add("--end", type=_moment, metavar="TIME", help="likewise")
        actions = "create.start, create.end, delete.start and delete.end as well"
        add("--send-actions", action="store_true", help=actions)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Send, or count."""
        period = parsed_args.period or self._configured()
        begin, end = last(period, timeutils.utcnow())
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

    def _configured(self) -> str:
        """Return the period of the configuration, which no service reads."""
        try:
            return _period(self.access.conf.volume_usage_audit_period)
        except argparse.ArgumentTypeError as error:
            raise CommandError(f"volume_usage_audit_period: {error}") from None


def last(period: str, at: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime]:
    """Return begin and end of the last complete period before a time.

    :param period: as ``volume_usage_audit_period`` has it.
    """
    unit, _at, offset = period.partition("@")
    hour = at.replace(minute=0, second=0, microsecond=0)
    if unit == "hour":
        return hour - datetime.timedelta(hours=1), hour
    if unit == "day":
        end = hour.replace(hour=int(offset or 0))
    elif unit == "month":
        end = hour.replace(hour=0, day=int(offset or 1))
    else:
        end = hour.replace(hour=0, day=1, month=int(offset or 1))
    if end > at:
        end = _before(unit, end)
    return _before(unit, end), end


def _before(unit: str, end: datetime.datetime) -> datetime.datetime:
    """Return the begin of the period that ends at a time."""
    if unit == "day":
        return end - datetime.timedelta(days=1)
    if unit == "month":
        return (end.replace(day=1) - datetime.timedelta(days=1)).replace(day=end.day)
    return end.replace(year=end.year - 1)


def _period(text: str) -> str:
    """Return a period. :raises ArgumentTypeError: it is none."""
    if _PERIOD.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no period as hour, day@6, month or year@4")
    return text


def _moment(text: str) -> datetime.datetime:
    """Return a time. :raises ArgumentTypeError: it has another form."""
    try:
        return datetime.datetime.strptime(text, _FORMAT)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time as 2026-01-31 00:00:00") from None
