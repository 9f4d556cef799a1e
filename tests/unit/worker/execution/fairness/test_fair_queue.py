# SPDX-License-Identifier: Apache-2.0
"""Projects get their turns by weight; none starves, and each keeps its order."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from worker.execution.fairness.fair_queue import FairQueue
from worker.execution.fairness.project_limits import ProjectLimits


def fair_queue(
    places: int = 1_000_000, reserved: int = 0, **options: dict[str, int]
) -> FairQueue[Any]:
    limits = ProjectLimits(**{name: lambda found=found: found for name, found in options.items()})
    return FairQueue(lambda: places, lambda: reserved, limits)


def popped(queue: FairQueue[Any], count: int) -> list[str]:
    """Take so many items, each done at once; return their projects."""
    found = []
    for _ in range(count):
        taken = queue.pop()
        assert taken is not None
        queue.done(taken[0])
        found.append(taken[0])
    return found


def test_a_single_project_is_served_in_the_order_of_arrival() -> None:
    queue = fair_queue(1)
    for number in range(5):
        queue.push("a", number)

    taken = []
    while (found := queue.pop()) is not None:
        taken.append(found[1])
        assert queue.pop() is None  # there is one place
        queue.done(found[0])
    assert taken == [0, 1, 2, 3, 4]


def test_a_flood_is_passed_at_the_next_free_place() -> None:
    queue = fair_queue(1)
    for number in range(5000):
        queue.push("flood", number)
    popped(queue, 100)
    for number in range(3):
        queue.push("other", number)

    assert popped(queue, 6).count("other") == 3


def test_a_project_that_had_nothing_to_do_has_saved_nothing_up() -> None:
    queue = fair_queue(1)
    for number in range(100):
        queue.push("a", number)
    popped(queue, 50)
    for number in range(100):
        queue.push("late", number)

    assert Counter(popped(queue, 20)) == {"a": 10, "late": 10}


def test_weights_are_shares() -> None:
    queue = fair_queue(1, weights={"gold": 4, "*": 1})
    for number in range(1000):
        for project in ("gold", "a", "b"):
            queue.push(project, number)

    assert Counter(popped(queue, 600)) == {"gold": 400, "a": 100, "b": 100}


def test_a_limit_holds_a_project_and_nobody_else() -> None:
    queue = fair_queue(10, operations={"flood": 2})
    for number in range(5):
        queue.push("flood", number)
    queue.push("other", 0)

    assert [queue.pop(), queue.pop(), queue.pop()] == [("flood", 0), ("other", 0), ("flood", 1)]
    assert queue.pop() is None and queue.limited_projects() == {"flood"}
    queue.done("flood")
    assert queue.pop() == ("flood", 2)


def test_a_limit_that_is_lowered_and_raised_applies_to_the_next_decision() -> None:
    most = {"*": 3}
    queue: FairQueue[int] = FairQueue(lambda: 10, limits=ProjectLimits(operations=lambda: most))
    for number in range(9):
        queue.push("a", number)
    assert queue.pop() is not None
    most["*"] = 1
    assert queue.pop() is None
    most["*"] = 2
    queue.done("a")
    assert [queue.pop(), queue.pop(), queue.pop()] == [("a", 1), ("a", 2), None]


def test_a_limit_that_is_raised_lets_items_run_before_another_one_ends() -> None:
    most = {"*": 1}
    queue: FairQueue[int] = FairQueue(lambda: 10, limits=ProjectLimits(operations=lambda: most))
    for number in range(4):
        queue.push("a", number)
    assert [queue.pop(), queue.pop()] == [("a", 0), None]
    most["*"] = 3
    queue.limits_changed()

    assert [queue.pop(), queue.pop(), queue.pop()] == [("a", 1), ("a", 2), None]


def test_a_project_whose_limit_is_raised_does_not_make_up_for_what_it_missed() -> None:
    most = {"flood": 1}
    queue = fair_queue(2, operations=most)
    for number in range(100):
        queue.push("flood", number)
        queue.push("other", number)
    assert queue.pop() == ("flood", 0)
    assert popped(queue, 50) == ["other"] * 50
    most["flood"] = 100
    queue.limits_changed()

    assert Counter(popped(queue, 20)) == {"flood": 10, "other": 10}


def test_operations_of_no_project_have_no_limit() -> None:
    limits = ProjectLimits(operations=lambda: {"*": 1}, bandwidth=lambda: {"*": 1})

    assert (limits.most("a"), limits.most("")) == (1, 0)
    assert (limits.bytes_per_second("a"), limits.bytes_per_second("")) == (1 << 20, 0)


def test_reserved_places_are_for_projects_of_which_nothing_runs() -> None:
    queue = fair_queue(2, reserved=1)
    for number in range(5):
        queue.push("flood", number)
    assert [queue.pop(), queue.pop(), queue.pop()] == [("flood", 0), ("flood", 1), None]
    queue.push("other", 0)
    queue.push("other", 1)

    assert queue.pop() == ("other", 0)
    assert queue.pop() is None
    queue.done("flood")
    assert queue.pop() is None  # two run, and both places are theirs
    queue.done("other")
    assert queue.pop() is not None


def test_it_says_whether_a_further_item_begins_at_once() -> None:
    queue = fair_queue(2, reserved=1, operations={"held": 1})
    assert queue.begins("a")
    for project in ("a", "held"):
        queue.push(project, 0)
        queue.pop()

    assert not queue.begins("a") and queue.begins("b")  # by the reserved place
    assert not queue.begins("held")
    queue.push("b", 0)
    queue.pop()
    assert not queue.begins("c")


def test_items_that_are_cleared_are_returned_and_do_not_run() -> None:
    queue = fair_queue(1)
    for number in range(3):
        queue.push("a", number)
    queue.pop()

    assert queue.clear() == [1, 2]
    queue.done("a")
    assert queue.pop() is None and len(queue) == 0


@pytest.mark.parametrize("seed", range(20))
def test_every_item_runs_once_in_order_within_the_limits_and_the_fair_wait(seed: int) -> None:
    """A project waits at most for its share of turns: the bound of start-time fair queueing."""
    chance = random.Random(seed)
    projects = [f"p{number}" for number in range(chance.randint(2, 8))]
    weights = {project: chance.randint(1, 5) for project in projects}
    most = {project: chance.choice((0, 0, 1, 3)) for project in projects}
    places = chance.randint(1, 6)
    queue = fair_queue(places, weights=weights, operations=most)
    pushed: Counter[str] = Counter()
    running: Counter[str] = Counter()
    taken: dict[str, list[int]] = defaultdict(list)
    passed: Counter[str] = Counter()  # turns of others since the last one of a project
    for _ in range(4000):
        if chance.random() < 0.45:
            project = chance.choice(projects)
            queue.push(project, pushed[project])
            pushed[project] += 1
        elif sum(running.values()) and chance.random() < 0.5:
            project = chance.choice([one for one in projects if running[one]])
            running[project] -= 1
            queue.done(project)
        elif (found := queue.pop()) is not None:
            project, number = found
            taken[project].append(number)
            running[project] += 1
            assert sum(running.values()) <= places
            assert not most[project] or running[project] <= most[project]
            passed[project] = 0
            for other in projects:
                waits = pushed[other] > len(taken[other]) and other != project
                may = not most[other] or running[other] < most[other]
                passed[other] = passed[other] + 1 if waits and may else 0
                bound = 2 * sum(-(-weights[one] // weights[other]) + 1 for one in projects)
                assert passed[other] <= bound, "a project starves"
    while (found := queue.pop()) is not None or sum(running.values()):
        if found is None:
            project = next(one for one in projects if running[one])
            running[project] -= 1
            queue.done(project)
        else:
            taken[found[0]].append(found[1])
            running[found[0]] += 1

    assert {one: numbers for one, numbers in taken.items()} == {
        one: list(range(count)) for one, count in pushed.items()
    }
