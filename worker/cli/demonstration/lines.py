# SPDX-License-Identifier: Apache-2.0
"""Lines of the demonstration, none of which is wider than a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

WIDTH = 120
"""Columns of a line at most."""

_ROW = "{:<22}{:<15}{:<11}{:>7}   "
_INDENT = " " * len(_ROW.format(*"four"))
HEADS = _ROW.format("operation", "of", "ends in", "ms") + "tasks, with their milliseconds"


def row(method: str, name: str, status: str, seconds: float, tasks: Sequence[str]) -> list[str]:
    """Return the lines of an operation, the tasks below one another."""
    begin = _ROW.format(method, name, status, f"{seconds * 1e3:.0f}")
    # A task and its time stay together.
    text = ", ".join(task.replace(" ", "\0") for task in tasks)
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=begin,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ").rstrip() for line in lines or [begin]]


def wrapped(text: str) -> list[str]:
    """Return a sentence as lines, the further ones indented a little more."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]


def progress(method: str, name: str, task: str, fraction: float | None, seconds: float) -> str:
    """Return a line about an operation that takes long."""
    part = "" if fraction is None else f" {fraction * 100:.0f} %"
    return f"  {method} {name}: {task}{part}, {seconds:.0f} s so far"
