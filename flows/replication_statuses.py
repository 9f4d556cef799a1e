# SPDX-License-Identifier: Apache-2.0
"""Replication statuses for failover, groups and retype."""

from __future__ import annotations

from drivers.interface.records import Record
from flows.statuses import ReplicationStatus

BACK = "default"
"""The target of a failover that is the backend itself."""

SWITCHED = {True: ReplicationStatus.ENABLED, False: ReplicationStatus.DISABLED}
"""Replication status of a volume or service, by whether replication is switched on."""

_WITHOUT_REPLICA = (None, ReplicationStatus.DISABLED, ReplicationStatus.NOT_CAPABLE)


def is_replicated(volume: Record) -> bool:
    """Return whether a volume has a replica; one without a status has none."""
    return volume.replication_status not in _WITHOUT_REPLICA
