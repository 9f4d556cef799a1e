# SPDX-License-Identifier: Apache-2.0
"""Look twice for drift, so that work in progress is never reported.

A drift is reported when two looks, with a pause between them, see it alike; when no unfinished
operation in the journal names its resource, before, between and after them; and when its rows
have not been written for some minutes.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from oslo_utils import timeutils

from worker.audit.drift import Drift, Kind
from worker.audit.sources import Look, Sources, Unable
from worker.journal.entries.in_progress import MOST, UNFINISHED, ids_of

PAUSE = 5.0
"""Seconds between the two looks."""

RECENT = 300.0
"""Seconds in which a row that was written counts as work in progress."""


@dataclass(frozen=True)
class Finding:
    """A drift, of a kind."""

    kind: Kind[Look]
    drift: Drift

    @property
    def can_be_repaired(self) -> bool:
        """Whether ``--fix`` repairs it."""
        return bool(self.kind.repair) and self.drift.repairable


@dataclass
class Report:
    """The result of an audit.

    :param kinds: the kinds that were looked for.
    :param unable: the places that could not be read, with the reasons.
    """

    kinds: Sequence[Kind[Look]]
    findings: list[Finding] = field(default_factory=list)
    unable: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return the number of drifts of each kind, 0 included."""
        found = [one.kind.name for one in self.findings]
        return {kind.name: found.count(kind.name) for kind in self.kinds}


class Audit:
    """One audit.

    :param pause: waits between the two looks.
    :param recent: seconds in which a row that was written counts as work in progress.
    """

    def __init__(
        self,
        sources: Sources,
        kinds: Sequence[Kind[Look]],
        pause: Callable[[], None],
        recent: float = RECENT,
    ) -> None:
        self._sources = sources
        self._kinds = kinds
        self._pause = pause
        self._recent = datetime.timedelta(seconds=recent)

    def run(self) -> Report:
        """Look twice.

        :raises Unavailable: the database does not answer.
        :raises JournalError: the journal does not answer.
        """
        report = Report(self._kinds)
        suspected = self._look(self._kinds, report)
        if not suspected:
            return report
        self._pause()
        names = {one.kind.name for one in suspected}
        again = self._look([kind for kind in self._kinds if kind.name in names], report)
        seen = {(one.kind.name, one.drift.key) for one in again}
        report.findings = [one for one in suspected if (one.kind.name, one.drift.key) in seen]
        return report

    def _look(self, kinds: Iterable[Kind[Look]], report: Report) -> list[Finding]:
        look = Look(self._sources, report.unable)
        busy = self._busy()
        written_before = timeutils.utcnow() - self._recent
        found = []
        for kind in kinds:
            try:
                found += [Finding(kind, one) for one in kind.find(look)]
            except Unable as error:
                report.unable[kind.name] = str(error)
        # An operation is in the journal before it changes anything: read anew, as some may
        # have begun since.
        busy |= self._busy() if found else set()
        return [one for one in found if _is_at_rest(one.drift, busy, written_before)]

    def _busy(self) -> set[str]:
        return ids_of(self._sources.journal.entries(among=UNFINISHED, limit=MOST))


def _is_at_rest(drift: Drift, busy: set[str], written_before: datetime.datetime) -> bool:
    if busy & drift.ids:
        return False
    return drift.changed_at is None or drift.changed_at <= written_before
