# SPDX-License-Identifier: Apache-2.0
"""Colours of states, on a terminal only."""

from __future__ import annotations

import os
import re
from typing import TextIO

from worker.printable import printable

_CODES = {"good": 32, "bad": 31, "undone": 33, "running": 36, "faint": 2, "strong": 1}

_PAINT = re.compile("(" + "|".join(rf"\033\[{code}m" for code in (0, *_CODES.values())) + ")")
"""The escape sequences of the colours."""

_MEANING = {
    "SUCCESS": "good",
    "RUNNING": "running",
    "REVERTING": "running",
    "REVERTED": "undone",
    "FAILURE": "bad",
    "FAILED": "bad",
    "REVERT_FAILURE": "bad",
    "PENDING": "faint",
    "SUSPENDED": "undone",
}

FILL = {"good": "palegreen", "bad": "salmon", "undone": "khaki", "running": "lightskyblue"}
"""Names of colours that Graphviz and browsers know."""


class Colour:
    """Paints, or leaves text as it is.

    :param stream: where the text goes; only a terminal gets colours, and none
        where NO_COLOR is set (no-color.org).
    """

    def __init__(self, stream: TextIO) -> None:
        self._on = stream.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, text: str, kind: str) -> str:
        """Paint text as good, bad, undone, running, faint or strong."""
        return f"\033[{_CODES[kind]}m{text}\033[0m" if self._on and text.strip() else text

    def state(self, text: str, state: str) -> str:
        """Paint text in the colour of a state."""
        meaning = meaning_of(state)
        return self(text, meaning) if meaning else text


def printable_line(line: str, stream: TextIO) -> str:
    """Return a line in printable characters, with its colours where it goes to a terminal."""
    if not stream.isatty():
        return printable(line)
    parts = _PAINT.split(line)
    return "".join(part if at % 2 else printable(part) for at, part in enumerate(parts))


def meaning_of(state: str) -> str:
    """Return a state in a person's words; empty where it has no meaning yet."""
    return _MEANING.get(state, "")
