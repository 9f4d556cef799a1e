# SPDX-License-Identifier: Apache-2.0
"""What failover, groups and retype have to know of replication."""

from __future__ import annotations

from drivers.interface.records import Record

BACK = "default"
"""The target of a failover that is the backend itself."""


def is_replicated(volume: Record) -> bool:
    """Say whether a volume has a replica; of one that never was told, there is none."""
    return volume.replication_status not in (None, "disabled", "not-capable")
