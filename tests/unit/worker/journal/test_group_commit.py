# SPDX-License-Identifier: Apache-2.0
"""Group commit: durable transactions wait for the disk together, and others do not wait."""

from __future__ import annotations

import errno
import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers import until
from tests.unit.worker.journal.test_journal import SLOT, accept, cast, journal, path
from worker.journal.errors import JournalUnavailable
from worker.journal.journal import Journal

__all__ = ["journal", "path"]


class Disk:
    """Counts writes of the log to the disk; they are held up, or fail, on demand."""

    def __init__(self) -> None:
        self.writes = 0
        self.failures = 0
        self.is_free = threading.Event()
        self.is_free.set()
        self._original = os.fdatasync

    def write(self, fd: int) -> None:
        self.writes += 1
        assert self.is_free.wait(30)
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, "I/O error")
        self._original(fd)


@pytest.fixture
def disk(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    monkeypatch.setattr("worker.journal.group_commit.os.fdatasync", made.write)
    yield made
    made.is_free.set()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as made:
        yield made


def test_an_accepted_cast_is_on_the_disk(journal: Journal, disk: Disk) -> None:
    accept(journal)
    assert disk.writes == 1


def test_a_stop_in_order_is_on_the_disk(journal: Journal, disk: Disk) -> None:
    journal.suspend(SLOT)
    assert disk.writes == 1


def test_progress_does_not_wait(journal: Journal, disk: Disk) -> None:
    detail = accept(journal)
    journal.count_interruption(detail)
    journal.finish(detail, journal.progress(detail), None)
    assert disk.writes == 1


def test_others_write_while_one_waits(
    journal: Journal, disk: Disk, threads: ThreadPoolExecutor
) -> None:
    detail = accept(journal)
    disk.is_free.clear()
    waiting = threads.submit(accept, journal)
    until(lambda: disk.writes == 2, 30, "a write to the disk")

    journal.count_interruption(detail)  # it would not return

    assert not waiting.done()
    disk.is_free.set()
    waiting.result(30)


def test_those_that_come_meanwhile_share_the_next_write(
    journal: Journal, disk: Disk, threads: ThreadPoolExecutor
) -> None:
    disk.is_free.clear()
    first = threads.submit(accept, journal)
    until(lambda: disk.writes == 1, 30, "the first write to the disk")
    others = [threads.submit(accept, journal) for _ in range(10)]
    until(lambda: len(journal.entries()) == 11, 30, "all transactions")
    disk.is_free.set()
    for future in (first, *others):
        future.result(30)

    # The last thread had committed, but perhaps not yet asked for its turn.
    assert 2 <= disk.writes <= 3


def test_a_disk_that_refuses_is_an_outage_and_is_asked_again(journal: Journal, disk: Disk) -> None:
    message = uuid.uuid4().hex
    disk.failures = 2
    for _attempt in range(2):
        with pytest.raises(JournalUnavailable, match="I/O error"):
            journal.accept(message, SLOT, cast())

    assert journal.accept(message, SLOT, cast()) is not None
    assert journal.accept(message, SLOT, cast()) is None


def test_a_duplicate_waits_for_the_disk_too(
    journal: Journal, disk: Disk, threads: ThreadPoolExecutor
) -> None:
    message = uuid.uuid4().hex
    disk.is_free.clear()
    first = threads.submit(journal.accept, message, SLOT, cast())
    until(lambda: disk.writes == 1, 30, "a write to the disk")
    second = threads.submit(journal.accept, message, SLOT, cast())

    with pytest.raises(TimeoutError):
        second.result(0.2)
    disk.is_free.set()
    assert first.result(30) is not None
    assert second.result(30) is None
