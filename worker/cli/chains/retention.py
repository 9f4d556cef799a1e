# SPDX-License-Identifier: Apache-2.0
"""Which backups of a volume a retention policy keeps."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.statuses import BackupStatus

if TYPE_CHECKING:
    from drivers.interface.records import Record


@dataclass(frozen=True)
class Retention:
    """How many whole backups are kept; the newest one always is.

    :param last: the newest ones.
    :param daily: the newest one of each of so many days that have one, weeks and months likewise.
    """

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    @property
    def is_set(self) -> bool:
        """Whether it says anything; one that does not keeps all."""
        return any((self.last, self.daily, self.weekly, self.monthly))

    def surplus(self, backups: Sequence[Record], damaged: Collection[str] = ()) -> list[Record]:
        """Return the backups of one volume that are not kept, the newest first.

        Those that are not ``available`` are left alone, and keep nothing else from being deleted.

        :param damaged: ids of backups with known damage. They keep no whole one from being kept;
            those that are newer than all whole ones stay, with all that they build on.
        """
        if not self.is_set:
            return []
        usable = [one for one in backups if one.status == BackupStatus.AVAILABLE]
        ordered = sorted(usable, key=lambda one: (moment_of(one), one.id), reverse=True)
        whole = [one for one in ordered if one.id not in damaged]
        kept = {one.id for one in whole[: max(1, self.last)]}
        for count, period in ((self.daily, _day), (self.weekly, _week), (self.monthly, _month)):
            kept |= _newest_of_each(whole, count, period)
        kept |= _newer_damaged(ordered, damaged)
        return [one for one in ordered if one.id not in kept]


def moment_of(backup: Record) -> datetime.datetime:
    """Return the moment of which the data of a backup is, in UTC."""
    found = backup.data_timestamp or backup.created_at
    assert isinstance(found, datetime.datetime)
    return found


def _newer_damaged(ordered: Sequence[Record], damaged: Collection[str]) -> set[str]:
    """Return damaged backups that no whole one replaces, and all that they build on.

    Their data cannot be handed on, and a restore past the damage needs it.
    """
    parents = {one.id: one.parent_id for one in ordered}
    found = set[str]()
    for backup in itertools.takewhile(lambda one: one.id in damaged, ordered):
        needed = backup.id
        while needed in parents and needed not in found:
            found.add(needed)
            needed = parents[needed]
    return found


def _newest_of_each(
    ordered: Sequence[Record], count: int, period: Callable[[datetime.datetime], Hashable]
) -> set[str]:
    found: dict[Hashable, str] = {}
    for one in ordered:
        found.setdefault(period(moment_of(one)), one.id)
    return set(list(found.values())[:count])


def _day(moment: datetime.datetime) -> Hashable:
    return moment.date()


def _week(moment: datetime.datetime) -> Hashable:
    return moment.isocalendar()[:2]


def _month(moment: datetime.datetime) -> Hashable:
    return moment.year, moment.month
