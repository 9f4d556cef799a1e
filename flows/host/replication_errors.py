# SPDX-License-Identifier: Apache-2.0
"""Store the replication errors of groups and volumes that a driver reports by itself.

Source: spec/interfaces §8.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish, NotFound
from flows.protocols.records import GroupRecords, VolumeRecords
from flows.protocols.request import Request
from flows.statuses import ReplicationStatus

LOG = logging.getLogger(__name__)

CALL = "get_replication_error_status"


def reported(stats: Mapping[str, Any]) -> bool:
    """Return whether statistics report that some replication has failed."""
    return bool(stats.get("replication_status") == ReplicationStatus.ERROR)


def store(
    driver: VolumeDriver,
    request: Request,
    host: str,
    groups: Sequence[Record],
    rows: Mapping[str, GroupRecords | VolumeRecords],
) -> None:
    """Ask the driver for the groups and volumes that have failed, and store its answer.

    :param groups: the groups of the backend that are replicated.
    :param rows: the records of kind ``group`` and ``volume``.
    """
    try:
        answer = driver.get_replication_error_status(request, list(groups))
        of_groups, of_volumes = answer
    except NotImplementedError:
        return
    except Exception as error:  # noqa: BLE001 - the report is sent all the same
        LOG.error("%s of %s failed: %s", CALL, host, driver_contract.masked(error))
        return
    for kind, entries in (("group", of_groups), ("volume", of_volumes)):
        for entry in entries or ():
            _store(kind, entry, rows[kind])


def _store(kind: str, entry: Any, rows: GroupRecords | VolumeRecords) -> None:
    try:
        row = rows.get(entry[f"{kind}_id"])
        columns = {name: value for name, value in entry.items() if name != f"{kind}_id"}
        update = driver_contract.model_update(columns, row, CALL)
        driver_contract.store(rows.update, row, update, CALL)
    except (NotFound, DriverReturnedRubbish, KeyError, TypeError, AttributeError) as error:
        LOG.error("%s returned an update of a %s that cannot be stored: %r", CALL, kind, error)
