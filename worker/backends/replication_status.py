# SPDX-License-Identifier: Apache-2.0
"""Replication targets of a backend, and replication errors that its driver reports.

When the statistics of a driver have ``replication_status`` ``error``, the worker asks the
driver, with each capability report, which groups and volumes have failed.

Source: spec/interfaces §8.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.volume import VolumeDriver
from flows import driver_contract
from flows.errors import DriverReturnedRubbish, GroupNotFound, NotFound
from worker.db.records import Records
from worker.rpc.context import RequestContext

LOG = logging.getLogger(__name__)

CALL = "get_replication_error_status"


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
    records: Records, driver: VolumeDriver, host: str, stats: Mapping[str, Any]
) -> None:
    """Store the errors of groups and volumes when the statistics report an error."""
    if stats.get("replication_status") != "error":
        return
    groups = list(records.on_host(host).replicated_groups())
    try:
        answer = driver.get_replication_error_status(RequestContext.admin(), groups)
        of_groups, of_volumes = answer
    except NotImplementedError:
        return
    except Exception as error:  # noqa: BLE001 - the report goes out all the same
        LOG.error("%s of %s failed: %s", CALL, host, driver_contract.masked(error))
        return
    for kind, updates, rows in (
        ("group", of_groups, records.groups),
        ("volume", of_volumes, records.volumes),
    ):
        for entry in updates or ():
            _store(kind, entry, rows.get, rows.update)


def _store(kind: str, entry: Any, get: Callable[[str], Any], update: Callable[..., None]) -> None:
    try:
        row = get(entry[f"{kind}_id"])
        columns = {name: value for name, value in entry.items() if name != f"{kind}_id"}
        driver_contract.store(update, row, driver_contract.model_update(columns, row, CALL), CALL)
    except (NotFound, DriverReturnedRubbish, KeyError, TypeError, AttributeError) as error:
        LOG.error("%s returned an update of a %s that cannot be stored: %r", CALL, kind, error)
