# SPDX-License-Identifier: Apache-2.0
"""Install programs that tests need, one process at a time: test runs may start together."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_INSTALL_TIMEOUT = 120.0  # seconds; it comes from the package index
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

PROGRAMS = "HOLDFAST_PROGRAMS"
"""The variable with the directory of programs that several Python environments share."""

_failed: set[Path] = set()


def place_of(program: str) -> Path:
    """Return the directory of a program: a shared one, or else of this Python environment."""
    return Path(os.environ.get(PROGRAMS) or sys.prefix) / program


def python_place_of(program: str) -> Path:
    """Return the directory of a program in a Python environment of this version."""
    return place_of(f"{program}-{sys.implementation.cache_tag}")


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
    place.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(place.with_name(f"{place.name}.lock")):
        if not complete.exists():
            try:
                install()
                complete.touch()
            except (OSError, subprocess.SubprocessError):
                _failed.add(place)
                return False
    return True


def npm_package(name: str, version: str) -> Path | None:
    """Return the folder of a package of npm; None where it cannot be installed."""
    place = place_of(f"{name}-{version}")

    def install() -> None:
        npm = shutil.which("npm") or "npm"
        command = [npm, "install", "--silent", "--prefix", str(place), f"{name}@{version}"]
        # node does not use the system's certificates, such as those of a proxy.
        trusted = {"NODE_EXTRA_CA_CERTS": _CERTIFICATES} if os.path.exists(_CERTIFICATES) else {}
        env = {**trusted, **os.environ}
        subprocess.run(command, check=True, timeout=_INSTALL_TIMEOUT, capture_output=True, env=env)

    return place / "node_modules" / name if installed(place, install) else None
