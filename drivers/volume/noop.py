# SPDX-License-Identifier: Apache-2.0
"""A backend that stores nothing: for benchmarks, and the shortest driver there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drivers.interface.records import Record
from drivers.interface.volume import Update, VolumeDriver


class NoopDriver(VolumeDriver):
    """Says yes to everything."""

    SUPPORTS_ACTIVE_ACTIVE: ClassVar[bool] = True

    def do_setup(self, context: Any) -> None:
        """Nothing to prepare."""

    def check_for_setup_error(self) -> None:
        """Nothing can be wrong."""

    def get_volume_stats(self, refresh: bool = False) -> Mapping[str, Any]:
        """Return endless capacity."""
        name = self.configuration.safe_get("volume_backend_name")
        return {
            "volume_backend_name": name or self.host.partition("@")[2],
            "vendor_name": "Holdfast",
            "driver_version": "1.0",
            "storage_protocol": "noop",
            "total_capacity_gb": "infinite",
            "free_capacity_gb": "infinite",
        }

    def create_volume(self, volume: Record) -> Update:
        """Create nothing."""
        return None

    def delete_volume(self, volume: Record) -> None:
        """Delete nothing."""

    def initialize_connection(
        self,
        volume: Record,
        connector: Mapping[str, Any],
        initiator_data: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Return where nothing is."""
        return {"driver_volume_type": "noop", "data": {"volume_id": volume.id}}

    def terminate_connection(
        self, volume: Record, connector: Mapping[str, Any] | None
    ) -> bool | None:
        """End nothing."""
        return None

    def extend_volume(self, volume: Record, new_size: int) -> None:
        """Grow nothing."""

    def create_snapshot(self, snapshot: Record) -> Update:
        """Keep nothing."""
        return None

    def delete_snapshot(self, snapshot: Record) -> None:
        """Delete nothing."""

    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Update:
        """Create nothing out of nothing."""
        return None

    def create_cloned_volume(self, volume: Record, src_vref: Record) -> Update:
        """Create nothing out of nothing."""
        return None

    def revert_to_snapshot(self, context: Any, volume: Record, snapshot: Record) -> None:
        """Set nothing back."""
