# SPDX-License-Identifier: Apache-2.0
"""Snapshots in shared memory: always a whole one, whichever process wrote it."""

from __future__ import annotations

import os

import pytest

from worker.service.monitoring import shared_snapshot
from worker.service.monitoring.shared_snapshot import HALF, SharedSnapshot


def test_the_last_one_is_read() -> None:
    place = SharedSnapshot()
    assert place.read() is None

    for number in range(3):
        place.write({"number": number})

        assert place.read() == {"number": number}


def test_the_parent_reads_that_of_a_child_that_has_ended() -> None:
    place = SharedSnapshot()
    if (child := os.fork()) == 0:
        place.write({"pid": os.getpid()})
        os._exit(0)
    os.waitpid(child, 0)

    assert place.read() == {"pid": child}


def test_a_writer_that_dies_in_the_middle_leaves_the_former_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = SharedSnapshot()
    place.write({"number": 1})

    class Dies:
        size = shared_snapshot._HEAD.size

        def pack(self, *_values: int) -> bytes:
            raise KeyboardInterrupt

    head = shared_snapshot._HEAD
    monkeypatch.setattr(shared_snapshot, "_HEAD", Dies())
    with pytest.raises(KeyboardInterrupt):
        place.write({"number": 2})
    monkeypatch.setattr(shared_snapshot, "_HEAD", head)

    assert place.read() == {"number": 1}


def test_one_that_is_half_written_is_never_returned() -> None:
    place = SharedSnapshot()
    place.write({"number": 1})
    used = place._memory[0] * HALF + shared_snapshot._FIRST + shared_snapshot._HEAD.size
    place._memory[used : used + 4] = b"####"

    assert place.read() is None


def test_one_that_is_too_large_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    place = SharedSnapshot()
    place.write({"number": 1})
    for _again in range(2):
        place.write({"text": "x" * HALF})

    assert place.read() == {"number": 1}
    assert len(caplog.records) == 1
