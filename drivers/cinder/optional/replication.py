# SPDX-License-Identifier: Apache-2.0
"""A backend that is lost or must not be touched, by a driver of Cinder's."""

from __future__ import annotations

from drivers.cinder.optional.groups import passed_on

METHODS = {
    name: passed_on(name)
    for name in (
        *("freeze_backend", "thaw_backend"),
        *("failover_host", "failover", "failover_completed"),
        *("enable_replication", "disable_replication", "failover_replication"),
        "get_replication_error_status",
    )
}
"""Of :class:`drivers.interface.replication.Replicating`."""
