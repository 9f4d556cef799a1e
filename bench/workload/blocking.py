# SPDX-License-Identifier: Apache-2.0
"""Operations that are held up in the driver, to be killed there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from drivers.volume.noop import NoopDriver

VARIABLE = "HOLDFAST_BENCH_GATE"


class Gate:
    """A barrier for operations; each that arrives leaves a file of its name.

    :param directory: is made; services that start from now on find it.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._closed = directory / "closed"
        self._arrived = directory / "arrived"
        self._arrived.mkdir()
        os.environ[VARIABLE] = str(directory)

    def close(self) -> None:
        """Block every operation."""
        for file in self._arrived.iterdir():
            file.unlink()
        self._closed.touch()

    def open(self) -> None:
        """Let everybody through."""
        self._closed.unlink()

    def arrived(self) -> int:
        """Return how many have come since it was closed."""
        return sum(1 for _ in self._arrived.iterdir())


class BlockingDriver(NoopDriver):
    """Creates nothing, as long as the gate is closed."""

    def create_volume(self, volume: Any) -> None:
        """Wait at the gate."""
        gate = Path(os.environ[VARIABLE])
        (gate / "arrived" / volume.id).touch()
        while (gate / "closed").exists():
            time.sleep(0.1)
