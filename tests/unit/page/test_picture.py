# SPDX-License-Identifier: Apache-2.0
"""The picture of a flow: places of tasks, lines between them, the line of the reverts."""

from __future__ import annotations

from typing import Any

from worker.page import picture


def task(name: str, state: str = "SUCCESS") -> dict[str, Any]:
    return {"name": name, "state": state}


def test_tasks_stand_below_those_that_they_follow() -> None:
    found = picture.drawn([task("a"), task("b"), task("c")])
    y = [box.y for box in found.boxes]

    assert y == sorted(y) and len(set(y)) == 3
    assert len({box.x for box in found.boxes}) == 1
    assert len(found.lines) == 2
    assert found.undo is None


def test_tasks_of_one_layer_stand_beside_each_other() -> None:
    links = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d")]
    found = picture.drawn([task(name) for name in "abcd"], links)
    at = {box.task["name"]: box for box in found.boxes}

    assert at["b"].y == at["c"].y and at["b"].x != at["c"].x
    assert at["d"].y > at["c"].y
    assert at["c"].x + picture.BOX[0] <= found.width


def test_the_reverts_have_a_line_from_the_last_to_the_first() -> None:
    tasks = [task("a", "REVERTED"), task("b", "FAILED"), task("c", "PENDING")]
    lower, upper = picture.drawn(tasks).undo or (0, 0)

    assert lower > upper > 0


def test_a_flow_without_tasks_has_an_empty_picture() -> None:
    assert picture.drawn([]).boxes == []
