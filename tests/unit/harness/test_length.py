# SPDX-License-Identifier: Apache-2.0
"""The longest tests begin first, one in each worker; some workers begin with tests that compute."""

from __future__ import annotations

import pytest

from tests.length import order


def parts(ordered: list[int], workers: int) -> list[list[int]]:
    """Return the parts of a list of tests as pytest-xdist gives them to its workers."""
    left, found = list(ordered), []
    for turn in range(workers):
        size = len(left) // (workers - turn)
        found.append(left[:size])
        del left[:size]
    return found


def test_each_worker_begins_with_long_tests_of_about_the_same_sum() -> None:
    seconds = [0, 50, 0, 0, 110, 0, 0, 60, 0, 20]

    first, second, third = parts(order(seconds, [True] * 10, 3), 3)

    assert first[0] == 4
    assert second[0] == 7
    assert third[:2] == [1, 9]


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
def test_no_test_is_lost_and_the_others_keep_their_order(workers: int) -> None:
    seconds = [10 if number % 5 == 0 else 0 for number in range(33)]

    ordered = order(seconds, [False] * 33, workers)

    assert sorted(ordered) == list(range(33))
    others = [number for number in ordered if not seconds[number]]
    assert others == sorted(others)


def test_a_third_of_the_workers_begins_with_tests_that_compute() -> None:
    seconds = [0] * 9 + [50] + [0] * 20
    waits = [True] * 10 + [False] * 20

    first, second, third = parts(order(seconds, waits, 3), 3)

    assert first[:6] == [9, 0, 1, 2, 3, 4]
    assert second[:4] == [5, 6, 7, 8]
    assert not any(waits[number] for number in [*first[6:], *second[4:], *third])


@pytest.mark.parametrize("waiting", [0, 1, 5, 15, 28, 29, 30])
@pytest.mark.parametrize("workers", [1, 2, 3, 6])
def test_no_test_is_lost_of_two_kinds(waiting: int, workers: int) -> None:
    waits = [number < waiting for number in range(30)]

    assert sorted(order([0] * 30, waits, workers)) == list(range(30))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_may_be_fewer_tests_than_workers(count: int) -> None:
    assert sorted(order([10] * count, [True] * count, 4)) == list(range(count))
