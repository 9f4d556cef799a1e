# SPDX-License-Identifier: Apache-2.0
"""What failover, groups and retype have to know of replication."""

from __future__ import annotations

from drivers.interface.records import Record
from flows.statuses import ReplicationStatus

BACK = "default"
"""The target of a failover that is the backend itself."""

SWITCHED = {True: ReplicationStatus.ENABLED, False: ReplicationStatus.DISABLED}
"""Replication status of a volume or service, by whether replication is switched on."""

_WITHOUT_REPLICA = (None, ReplicationStatus.DISABLED, ReplicationStatus.NOT_CAPABLE)


def is_replicated(volume: Record) -> bool:
    """Say whether a volume has a replica; of one that never was told, there is none."""
    return volume.replication_status not in _WITHOUT_REPLICA
