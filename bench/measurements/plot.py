# SPDX-License-Identifier: Apache-2.0
"""Figures over time as one SVG: panels below each other on a common axis of minutes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

Point = tuple[float, float]

_WIDTH, _HEIGHT = 640, 110  # of the area of one panel, in pixels
_LEFT, _RIGHT, _TOP, _GAP, _BOTTOM = 70, 20, 40, 44, 40
_COLOURS = ("#1f5fa8", "#c2571a", "#3d8b3d", "#7a4fa3")
_TICKS = 4
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Panel:
    """One diagram.

    :param title: with the unit.
    :param series: points of minutes and value, by name.
    """

    title: str
    series: dict[str, Sequence[Point]]


def write(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Write the panels to a file."""
    path.write_text("\n".join(_document(title, panels)) + "\n")


def _document(title: str, panels: Sequence[Panel]) -> Iterator[str]:
    width = _LEFT + _WIDTH + _RIGHT
    height = _TOP + len(panels) * (_HEIGHT + _GAP) + _BOTTOM
    until = max((x for p in panels for s in p.series.values() for x, _ in s), default=1.0)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    yield f'  width="{width}" height="{height}" font-family="sans-serif" font-size="11">'
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    yield _text(_LEFT, 18, title, size=14)
    for number, panel in enumerate(panels):
        top = _TOP + number * (_HEIGHT + _GAP) + 20
        yield from _panel(panel, top, until or 1.0)
    yield _text(_LEFT + _WIDTH / 2, height - 14, "minutes", anchor="middle")
    yield "</svg>"


def _panel(panel: Panel, top: float, until: float) -> Iterator[str]:
    values = [y for points in panel.series.values() for _, y in points]
    marks = ticks(0.0, max(values, default=1.0) or 1.0)
    bottom, most = top + _HEIGHT, marks[-1]
    yield _text(_LEFT, top - 8, panel.title)
    for mark in marks:
        y = bottom - mark / most * _HEIGHT
        yield _line(_LEFT, y, _LEFT + _WIDTH, y)
        yield _text(_LEFT - 6, y + 4, f"{mark:g}", anchor="end")
    for mark in ticks(0.0, until, count=6):
        if mark <= until:
            x = _LEFT + mark / until * _WIDTH
            yield _text(x, bottom + 14, f"{mark:g}", anchor="middle")
    right = _LEFT + _WIDTH
    for (name, points), colour in reversed([*zip(panel.series.items(), _COLOURS, strict=False)]):
        places = " ".join(
            f"{_LEFT + x / until * _WIDTH:.1f},{bottom - y / most * _HEIGHT:.1f}" for x, y in points
        )
        yield f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.2"/>'
        yield _text(right, top - 8, name, anchor="end", colour=colour)
        right -= 7 * len(name) + 14


def ticks(least: float, most: float, count: int = _TICKS) -> list[float]:
    """Return round numbers that include both ends."""
    span = most - least or 1.0
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * s for s in _STEPS if power * s >= rough * 0.999)
    first = math.floor(least / step)
    return [step * n for n in range(first, math.ceil(most / step - 1e-9) + 1)]


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 11, colour: str = "black"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f'<text {place} fill="{colour}">{escape(text)}</text>'


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {ends} stroke="#ddd" stroke-width="0.8"/>'
