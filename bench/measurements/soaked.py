# SPDX-License-Identifier: Apache-2.0
"""The results of a soak: its figures and its plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measurements import plot
from bench.measurements.samples import Sample, trend
from bench.workload.traffic import Traffic

WARM_UP = 0.2
"""Share of the time before growth is measured: caches fill, the journal reaches the
size at which it forgets as much as it is given."""

_GROWTH = {
    "rss_mib": "spared_rss_mib",
    "pss_mib": "spared_pss_mib",
    "fds": "spared_fds",
    "threads": "spared_threads",
    "parent_rss_mib": "parent_rss_mib",
    "parent_fds": "parent_fds",
    "killed_rss_mib": "killed_rss_mib",
    "killed_fds": "killed_fds",
    "killed_threads": "killed_threads",
    "journal_kib": "journal_kib",
    "journal_unfinished": "journal_unfinished",
    "leftover_files": "files",
}


def figures(
    samples: Sequence[Sample], verdict: Mapping[str, int], resumed: int, traffic: Traffic
) -> dict[str, Any]:
    """Return everything in one line."""
    last = samples[-1]
    settled = [s for s in samples if s.minutes >= WARM_UP * last.minutes]
    growth = {
        name: round(trend([(s.minutes, _value(s, column)) for s in settled]), 2)
        for name, column in _GROWTH.items()
    }
    growth["leftover_files"] = round(trend([(s.minutes, s.files - s.rows) for s in settled]), 2)
    return {
        "minutes": round(last.minutes, 1),
        "kills": last.kills,
        "casts": traffic.casts(),
        "calls": traffic.begun() - traffic.casts(),
        "resumed": resumed,
        **verdict,
        "failed": sum(traffic.failed.values()),
        "growth_per_hour": growth,
    }


def draw(path: Path, samples: Sequence[Sample]) -> None:
    """Draw all figures over time."""

    def panel(title: str, **columns: str) -> plot.Panel:
        series = {
            name.replace("_", " "): [(s.minutes, _value(s, column)) for s in samples]
            for name, column in columns.items()
        }
        return plot.Panel(title, series)

    processes = {"spared": "spared_{}", "killed": "killed_{}", "parent": "parent_{}"}

    def of(figure: str) -> dict[str, str]:
        return {name: column.format(figure) for name, column in processes.items()}

    last = samples[-1]
    plot.write(
        path,
        f"{last.minutes:.0f} minutes, {last.operations} operations, {last.kills} kills",
        [
            panel("RSS, MiB", **of("rss_mib")),
            panel("file descriptors", **of("fds")),
            panel("threads", **of("threads")),
            panel("journal, KiB", file="journal_kib"),
            panel("journal, entries", all="journal_entries", not_ended="journal_unfinished"),
            panel("backend and database", files="files", rows="rows"),
            panel("messages in the queue", waiting="queue"),
        ],
    )


def _value(sample: Sample, column: str) -> float:
    return float(getattr(sample, column))
