# SPDX-License-Identifier: Apache-2.0
"""Numbers that take a query: counted once a minute, and kept while a database is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.audit import last_run
from worker.audit.last_run import LastRun
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


def test_the_figures_of_the_last_audit_are_shown(tmp_path: Path) -> None:
    parts: Any = SimpleNamespace(
        base=SimpleNamespace(conf=SimpleNamespace(state_path=str(tmp_path)))
    )
    assert list(counted_rows._audit(parts)) == []

    ended = time.time() - 90
    last_run.write(tmp_path, LastRun(ended, 2.5, {"lost-object": 3, "quota": 0}, {"store": "away"}))
    found = {(one.name, *labels): value for one, labels, value in counted_rows._audit(parts)}

    assert found[d.AUDIT_DRIFTS.name, "lost-object"] == 3
    assert found[d.AUDIT_DRIFTS.name, "quota"] == 0
    assert (found[d.AUDIT_UNABLE.name,], found[d.AUDIT_SECONDS.name,]) == (1, 2.5)
    assert 90 <= found[d.AUDIT_AGE.name,] < 150
