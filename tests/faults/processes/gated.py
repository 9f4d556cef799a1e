# SPDX-License-Identifier: Apache-2.0
"""The local driver with a step that takes as long as a test wants."""

from __future__ import annotations

import time
from pathlib import Path

from drivers.interface.records import Record
from drivers.volume.local import LocalDriver

GATE = "gate"
"""Name of the file beside the directory of volumes that lets extensions continue."""

STEP = 15.0
"""Longest time that an extension takes without the file, in seconds."""


class GatedDriver(LocalDriver):
    """Extends a volume when the gate is there, or after :data:`STEP`."""

    def extend_volume(self, volume: Record, new_size: int) -> None:
        gate, until = Path(self.configuration.local_path).parent / GATE, time.monotonic() + STEP
        while not gate.exists() and time.monotonic() < until:
            time.sleep(0.02)
        super().extend_volume(volume, new_size)
