# SPDX-License-Identifier: Apache-2.0
"""Numbers that take a query: counted once a minute, and kept while a database is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from worker.journal.errors import JournalUnavailable
from worker.metrics import definitions as d
from worker.service.monitoring import counted_rows, gauges
from worker.service.monitoring.counted_rows import PAUSE, Counted


def test_numbers_are_renewed_once_a_minute_and_kept_in_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(counted_rows.time, "monotonic", lambda: now)
    numbers = [1, 2]

    def query() -> Iterator[gauges.Value]:
        if not numbers:
            raise JournalUnavailable("away")
        yield d.JOURNAL_ENTRIES, ("failed",), numbers.pop(0)

    counted = Counted(query)
    seen = []
    for seconds in (0.0, PAUSE - 1, 1.0, PAUSE):
        now += seconds
        counted.renew()
        seen.append(counted.series[d.JOURNAL_ENTRIES.name][0][1])

    assert seen == [1, 1, 2, 2]
    assert numbers == []
