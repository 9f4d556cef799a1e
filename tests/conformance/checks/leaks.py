# SPDX-License-Identifier: Apache-2.0
"""Everything that a driver may leave behind after a test: objects, files, processes, threads."""

from __future__ import annotations

import fnmatch
import gc
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Listing = Callable[[Mapping[str, str]], Iterable[str]]
"""Lists the names of all objects of a backend, by the options of the driver."""


def directories(options: Mapping[str, str], more: Iterable[str | None] = ()) -> list[Path]:
    """Return the directories that the options name."""
    found = [Path(value) for value in [*options.values(), *more] if str(value).startswith("/")]
    return sorted({path for path in found if path.is_dir()})


def files(places: Iterable[Path], ignored: Sequence[str] = ()) -> set[str]:
    """Return the paths of all files below directories.

    :param ignored: patterns of paths, relative to their directory.
    """
    return {
        str(path)
        for place in places
        for path in place.rglob("*")
        if not any(fnmatch.fnmatch(str(path.relative_to(place)), one) for one in ignored)
    }


def processes() -> set[str]:
    """Return the programs that this process has started and that run."""
    found = set()
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            pids = task.read_text().split()
        except OSError:
            continue
        found |= {f"process {pid} {name}" for pid in pids if (name := _name(pid))}
    return found


def _name(pid: str) -> str:
    """Return the name of a running process; empty for one that has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    name, _, rest = status.rpartition(")")
    return "" if rest.split()[0] in "ZX" else name.partition("(")[2]


def threads() -> set[str]:
    """Return the threads that keep this process from its end."""
    return {f"thread {one.name}" for one in threading.enumerate() if not one.daemon}


def descriptors() -> int:
    """Return how many files this process has open."""
    gc.collect()  # libraries keep sockets in cycles of objects
    return len(os.listdir("/proc/self/fd"))


def figures(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statistics that are the same again once all objects are removed."""
    names = ("total_volumes",)  # other figures include the space of other users
    return {name: stats[name] for name in names if name in stats}
