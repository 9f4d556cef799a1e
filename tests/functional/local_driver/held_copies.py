# SPDX-License-Identifier: Apache-2.0
"""The volume service, whose migrations stand still after some data while a file is there.

A copy that only takes long is killed at another point each time, and on a busy machine after
its end. One that stands still has told no progress, however often it was killed.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

from worker.cmd import volume  # first: it keeps eventlet out of the process

from drivers import block_copy  # isort: skip
from drivers.interface.pace import Pace  # isort: skip
from flows.volume.migration import copy as migration_copy  # isort: skip

HOLD = "HELD_COPIES"
"""Names the file."""

_CHUNKS = 4
"""After so many a copy stands still."""

_copy = block_copy.copy


def _held(source: Any, target: Any, size: int, pace: Pace, **more: Any) -> None:
    hold = Path(os.environ[HOLD])
    told = 0

    def report(fraction: float) -> None:
        nonlocal told
        told += 1
        while hold.exists():
            pace.progress(0.0)  # it raises at a stop
            if told < _CHUNKS:
                return
            time.sleep(0.02)
        pace.progress(fraction)

    _copy(source, target, size, dataclasses.replace(pace, progress=report), **more)


if __name__ == "__main__":
    migration_copy.block_copy.copy = _held
    volume.main(sys.argv[1:])
