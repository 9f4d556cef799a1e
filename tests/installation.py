# SPDX-License-Identifier: Apache-2.0
"""Install programs that tests need, one process at a time: test runs may start together."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

_failed: set[Path] = set()


@contextlib.contextmanager
def exclusively(lock: Path) -> Iterator[None]:
    """Hold a lock between processes while the block runs; the file stays."""
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def installed(place: Path, install: Callable[[], object]) -> bool:
    """Return whether a directory holds what ``install`` puts there, after calling it if needed.

    An installation that was interrupted is repeated; one that failed is not, since many
    tests ask for it.
    """
    complete = place / "complete"
    if place in _failed:
        return False
    with exclusively(place.with_suffix(".lock")):
        if not complete.exists():
            try:
                install()
                complete.touch()
            except (OSError, subprocess.SubprocessError):
                _failed.add(place)
                return False
    return True
