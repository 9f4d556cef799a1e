# SPDX-License-Identifier: Apache-2.0
"""The picture of a flow: where each task stands, and the lines between them.

Tasks stand in layers from top to bottom, each below all that it follows. The template draws it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

BOX = (300, 58)
"""Width and height of a task."""

GAP = (20, 26)
"""Distance of tasks beside and below each other."""

MARGIN = 4
UNDO = 34
"""Room to the right of the tasks, where the line of the reverts is drawn."""

_UNDONE = ("REVERTED", "FAILED", "REVERTING", "NOT UNDONE")

Link = tuple[str, str]


@dataclass(frozen=True)
class Box:
    """A task.

    :param task: its description, as an explanation has it.
    """

    task: Mapping[str, Any]
    x: int
    y: int


@dataclass(frozen=True)
class Picture:
    """A flow.

    :param lines: from task to task: x and y of both ends.
    :param undo: y of the lower and the upper end of the line of the reverts; None without any.
    """

    width: int
    height: int
    boxes: Sequence[Box]
    lines: Sequence[tuple[int, int, int, int]]
    undo: tuple[int, int] | None


def drawn(tasks: Sequence[Mapping[str, Any]], links: Iterable[Link] = ()) -> Picture:
    """Lay a flow out.

    :param links: pairs of tasks; without any each task follows the one before it.
    """
    names = [str(task["name"]) for task in tasks]
    known = [(one, other) for one, other in links if one in names and other in names]
    found = known or list(pairwise(names))
    layers: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    depths = _depths(names, found)
    for task in tasks:
        layers[depths[str(task["name"])]].append(task)
    widest = max(map(len, layers.values()), default=0)
    inner = widest * BOX[0] + max(0, widest - 1) * GAP[0]
    boxes = [box for depth, layer in sorted(layers.items()) for box in _layer(layer, depth, inner)]
    places = {str(box.task["name"]): box for box in boxes}
    lines = [_line(places[one], places[other]) for one, other in found]
    undo = _undo(boxes)
    width = inner + 2 * MARGIN + (UNDO if undo else 0)
    height = max((box.y for box in boxes), default=0) + BOX[1] + MARGIN
    return Picture(width, height, boxes, lines, undo)


def _depths(names: Sequence[str], links: Sequence[Link]) -> dict[str, int]:
    """Return the length of the longest way to each task."""
    depths = dict.fromkeys(names, 0)
    for _round in names:  # at most so many: a flow has no circle
        before = dict(depths)
        for one, other in links:
            depths[other] = max(depths[other], depths[one] + 1)
        if depths == before:
            break
    return depths


def _layer(layer: Sequence[Mapping[str, Any]], depth: int, inner: int) -> Iterable[Box]:
    own = len(layer) * BOX[0] + (len(layer) - 1) * GAP[0]
    left = MARGIN + (inner - own) // 2
    y = MARGIN + depth * (BOX[1] + GAP[1])
    for number, task in enumerate(layer):
        yield Box(task, left + number * (BOX[0] + GAP[0]), y)


def _line(one: Box, other: Box) -> tuple[int, int, int, int]:
    middle = BOX[0] // 2
    return one.x + middle, one.y + BOX[1], other.x + middle, other.y


def _undo(boxes: Sequence[Box]) -> tuple[int, int] | None:
    """Return the ends of the line along which tasks were undone, from the last to the first."""
    at = [box.y + BOX[1] // 2 for box in boxes if box.task["state"] in _UNDONE]
    return (max(at), min(at)) if len(at) > 1 else None
