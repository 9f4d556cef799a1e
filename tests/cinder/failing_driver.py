# SPDX-License-Identifier: Apache-2.0
"""The local driver, which fails for volumes of a certain name."""

from __future__ import annotations

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from drivers.interface.volume import Update
from drivers.volume.local import LocalDriver

UNLUCKY = "unlucky"


class UnluckyDriver(LocalDriver):
    """Fails when it has made a volume that is called ``unlucky``."""

    def create_volume(self, volume: Record) -> Update:
        """Create a volume, and fail for some."""
        super().create_volume(volume)
        if volume.display_name == UNLUCKY:
            raise VolumeBackendAPIException("the disk shelf went away")
        return None
