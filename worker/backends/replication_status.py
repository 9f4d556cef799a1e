# SPDX-License-Identifier: Apache-2.0
"""Replication targets of a backend, and replication errors that its driver reports.

When the statistics of a driver have ``replication_status`` ``error``, the worker asks the
driver, with each capability report, which groups and volumes have failed.

Source: spec/interfaces §8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.volume import VolumeDriver
from flows.errors import GroupNotFound
from flows.host import replication_errors
from worker.db.criteria import BackendRows
from worker.db.records import Records
from worker.rpc.request_context import RequestContext


class ReplicationTargets:
    """The replication targets of a backend.

    :param devices: the option ``replication_device`` of the backend.
    """

    def __init__(self, records: Records, devices: Iterable[Mapping[str, str]] | None) -> None:
        self._records = records
        self._devices = [dict(device) for device in devices or ()]

    def replication_targets(self, group_id: str) -> Sequence[dict[str, str]]:
        """Return the configured targets. :raises VolumeBackendAPIException: no such group."""
        try:
            self._records.groups.get(group_id)
        except GroupNotFound as error:
            raise VolumeBackendAPIException(f"there are no targets: {error}") from error
        return [dict(device) for device in self._devices]


def note_errors(
    records: Records, driver: VolumeDriver, backend: BackendRows, stats: Mapping[str, Any]
) -> None:
    """Store the errors of groups and volumes when the statistics report an error."""
    if replication_errors.reported(stats):
        groups = list(records.on_host(backend).replicated_groups())
        rows: Mapping[str, Any] = {"group": records.groups, "volume": records.volumes}
        replication_errors.store(driver, RequestContext.admin(), backend.host, groups, rows)
