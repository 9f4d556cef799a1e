# SPDX-License-Identifier: Apache-2.0
"""Classes that an option names: by an entry point's name, or by their full path."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Iterable
from importlib import metadata


def load(wanted: str, group: str, label: str) -> object:
    """Return the object that an option names.

    :param group: of the entry points.
    :param label: the kind of object, for the text of a failure.
    :raises ImportError: the module cannot be imported.
    :raises AttributeError: it has no such class.
    :raises ValueError: there is no entry point of that name.
    """
    module, dot, name = wanted.rpartition(".")
    if dot:
        return getattr(importlib.import_module(module), name)
    points = {point.name: point for point in entry_points(group)}
    if wanted not in points:
        known = ", ".join(sorted(points)) or "none is installed"
        raise ValueError(f"there is no {label} {wanted!r}; known: {known}{guess(wanted, points)}")
    return points[wanted].load()


@functools.cache
def entry_points(group: str) -> tuple[metadata.EntryPoint, ...]:
    """Return the entry points of a group; the first call reads a file of each package."""
    return tuple(metadata.entry_points(group=group))


def guess(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a suggestion of a similar name; empty where none is close.

    :param cutoff: how alike they have to be, from 0 to 1.
    """
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""
