# SPDX-License-Identifier: Apache-2.0
"""Samples of a long run: processes, journal, backend, queue; and their trend."""

from __future__ import annotations

import contextlib
import csv
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bench.measurements.machine import pss_kib

ENDED = ("SUCCESS", "REVERTED", "FAILURE")
_KEPT = 200  # lines of the published table


@dataclass(frozen=True)
class Footprint:
    """The resources of one process at a moment; zeros when it is gone."""

    rss_mib: float = 0.0
    pss_mib: float = 0.0
    fds: int = 0
    threads: int = 0

    @classmethod
    def of(cls, pid: int) -> Footprint:
        """Look at a process."""
        try:
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            found = dict(line.split(":", 1) for line in status)
            return cls(
                rss_mib=int(found["VmRSS"].split()[0]) / 1024,
                pss_mib=pss_kib(pid) / 1024,
                fds=len(os.listdir(f"/proc/{pid}/fd")),
                threads=int(found["Threads"]),
            )
        except (FileNotFoundError, ProcessLookupError, KeyError):
            return cls()


@dataclass(frozen=True)
class Sample:
    """One line of the table: ``spared`` is never killed, ``killed`` just before its end."""

    minutes: float
    spared_rss_mib: float
    spared_pss_mib: float
    spared_fds: int
    spared_threads: int
    parent_rss_mib: float
    parent_fds: int
    parent_threads: int
    killed_rss_mib: float
    killed_fds: int
    killed_threads: int
    journal_kib: float
    journal_entries: int
    journal_unfinished: int
    files: int
    rows: int
    queue: int
    operations: int
    kills: int


@dataclass(frozen=True)
class JournalFile:
    """A journal in SQLite, seen from outside."""

    path: Path

    def kib(self) -> float:
        """Return its size on disk, including its write-ahead log."""
        size = 0
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                size += Path(f"{self.path}{suffix}").stat().st_size
        return size / 1024

    def counts(self) -> tuple[int, int]:
        """Return its entries, and those of them that have not ended."""
        rows = self._rows("SELECT state, count(*) FROM flowdetails GROUP BY state")
        unfinished = sum(count for state, count in rows if state not in ENDED)
        return sum(count for _, count in rows), unfinished

    def unfinished(self) -> list[str]:
        """Return the descriptions of entries that have not ended."""
        rows = self._rows("SELECT meta, state FROM flowdetails")
        return [str(meta) for meta, state in rows if state not in ENDED]

    def _rows(self, statement: str) -> list[tuple[str, int]]:
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()


def trend(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the straight line through points of minutes and value, per hour."""
    count = len(points)
    if count < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return 60 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def write_table(path: Path, samples: Sequence[Sample]) -> None:
    """Write evenly chosen samples as CSV."""
    step = max(1, -(-len(samples) // _KEPT))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Sample)], lineterminator="\n")
        writer.writeheader()
        for sample in samples[::step]:
            writer.writerow({key: _short(value) for key, value in asdict(sample).items()})


def _short(value: float) -> float:
    return round(value, 2) if isinstance(value, float) else value
