# SPDX-License-Identifier: Apache-2.0
"""Bytes of a data transfer: each is counted once, and those before a checkpoint never."""

from __future__ import annotations

import pytest

from flows.engine import moved_data
from flows.engine.moved_data import Transfer


def test_bytes_are_taken_once() -> None:
    transfer = Transfer()
    transfer.begin(1000)
    transfer.advance(0.25)
    assert transfer.take(0.0) == 250
    assert transfer.take(0.0) == 0

    transfer.advance(1.0)
    assert transfer.take(1.0) == 750


def test_a_resumed_copy_does_not_count_its_first_part() -> None:
    transfer = Transfer(continues=True)
    transfer.begin(1000)
    transfer.advance(0.5)
    assert transfer.take(0.0) == 0

    transfer.advance(0.75)
    assert transfer.take(1.0) == 250


def test_rate_and_remaining_time_follow_the_progress() -> None:
    transfer = Transfer()
    transfer.begin(100_000)
    assert transfer.remaining is None
    for second in range(61):
        transfer.advance(second / 100)
        transfer.take(float(second))

    assert transfer.rate == pytest.approx(1000, rel=0.01)
    assert transfer.remaining == pytest.approx(40, rel=0.02)


def test_a_copy_belongs_to_the_flow_of_its_thread() -> None:
    outer, inner = Transfer(), Transfer()
    moved_data.begin(1)
    with moved_data.of_thread(outer):
        with moved_data.of_thread(inner):
            moved_data.begin(2)
        moved_data.begin(3)
    moved_data.begin(4)

    assert (outer.size, inner.size) == (3, 2)
