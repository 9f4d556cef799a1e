# SPDX-License-Identifier: Apache-2.0
"""Drivers for cinder-volume that store nothing: the peer's side of the benchmark.

They run inside Cinder, so they import nothing of ours.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from cinder.volume import driver


class NoopDriver(driver.VolumeDriver):
    """Says yes to everything, as ``drivers/volume/noop.py`` does."""

    VERSION = "1.0"

    def check_for_setup_error(self) -> None:
        """Nothing can be wrong."""

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        """Return endless capacity."""
        return {
            "volume_backend_name": self.configuration.volume_backend_name,
            "vendor_name": "bench",
            "driver_version": self.VERSION,
            "storage_protocol": "noop",
            "total_capacity_gb": "infinite",
            "free_capacity_gb": "infinite",
        }

    def create_volume(self, volume: Any) -> None:
        """Create nothing."""

    def delete_volume(self, volume: Any) -> None:
        """Delete nothing."""

    def create_snapshot(self, snapshot: Any) -> None:
        """Keep nothing."""

    def delete_snapshot(self, snapshot: Any) -> None:
        """Delete nothing."""

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        """Export nothing."""

    def ensure_export(self, context: Any, volume: Any) -> None:
        """Export nothing."""

    def remove_export(self, context: Any, volume: Any) -> None:
        """Export nothing."""

    def initialize_connection(self, volume: Any, connector: Any) -> dict[str, Any]:
        """Return where nothing is."""
        return {"driver_volume_type": "noop", "data": {"volume_id": volume.id}}

    def terminate_connection(self, volume: Any, connector: Any, **kwargs: Any) -> None:
        """End nothing."""


class BlockingDriver(NoopDriver):
    """Creates nothing, as long as the gate of ``bench/workload/blocking.py`` is closed."""

    def create_volume(self, volume: Any) -> None:
        """Wait at the gate."""
        gate = Path(os.environ["HOLDFAST_BENCH_GATE"])
        (gate / "arrived" / volume.id).touch()
        while (gate / "closed").exists():
            time.sleep(0.1)
