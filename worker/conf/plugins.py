# SPDX-License-Identifier: Apache-2.0
"""Classes that an option names: by an entry point's name, or by their full path."""

from __future__ import annotations

import difflib
import importlib
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from worker import entry_points


class LoadError(ValueError):
    """The class that an option names cannot be loaded; the text says why, and the next step."""


def load(wanted: str, group: str, label: str) -> object:
    """Return the object that an option names.

    :param group: of the entry points.
    :param label: the kind of object, for the text of a failure.
    :raises LoadError: it cannot be loaded, or there is no entry point of that name.
    """
    module, dot, name = wanted.rpartition(".")
    if dot:
        with explained(wanted):
            return getattr(importlib.import_module(module), name)
    points = {point.name: point for point in entry_points.of_group(group)}
    if wanted not in points:
        known = ", ".join(sorted(points)) or "none is installed"
        raise LoadError(f"there is no {label} {wanted!r}; known: {known}{guess(wanted, points)}")
    with explained(points[wanted].value.replace(":", ".")):
        return points[wanted].load()


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn whatever the import of a class raises into an error that names the class.

    A module may raise anything while it is imported, also the end of the process.

    :raises LoadError: with the module, the class, the reason and the next step.
    """
    try:
        yield
    except (LoadError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - it is another author's code
        raise LoadError(_explanation(path, error)) from error


def _explanation(path: str, error: BaseException) -> str:
    module, _, name = path.rpartition(".")
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        if module == error.name or module.startswith(f"{error.name}."):
            return f"{path}: there is no module {error.name}: correct the path, or install it"
        return f"{path}: module {module} needs {error.name}: {error}: install it"
    if isinstance(error, AttributeError) and error.name == name and error.obj is not None:
        return f"{path}: module {module} has no class {name}: correct the path"
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    is_placed = bool(frames) and not isinstance(error, SyntaxError)  # which names it itself
    at = f" ({frames[-1].filename}:{frames[-1].lineno})" if is_placed else ""
    return f"{path}: module {module} cannot be imported, {text}{at}: reinstall or correct it"


def guess(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a suggestion of a similar name; empty where none is close.

    :param cutoff: how alike they have to be, from 0 to 1.
    """
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""
