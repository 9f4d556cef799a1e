# SPDX-License-Identifier: Apache-2.0
"""What a driver is told, and what rows are put right, when a backend comes up.

Source: spec/service §4, steps 8 and 9.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from flows.errors import NotFound, StatusChanged
from worker.db.records import Records
from worker.rpc import topics
from worker.rpc.context import RequestContext

LOG = logging.getLogger(__name__)


def take(records: Records, driver: VolumeDriver, host: str) -> None:
    """Bring the rows of a backend and its driver together."""
    volumes = list(records.volumes.on_host(host))
    snapshots = list(records.snapshots.on_host(host))
    _store(driver.update_provider_info(volumes, snapshots), records)
    for volume in volumes:
        if "#" not in volume.host and (pool := driver.get_pool(volume)):
            records.volumes.update(volume.id, host=topics.append_pool(volume.host, pool))
        if volume.status == "in-use":
            _export(records, driver, volume)


def _store(answer: Any, records: Records) -> None:
    volume_updates, snapshot_updates = answer or (None, None)
    for updates, rows in (
        (volume_updates, records.volumes),
        (snapshot_updates, records.snapshots),
    ):
        for update in _entries(updates):
            rows.update(update["id"], **{k: v for k, v in update.items() if k != "id"})


def _entries(updates: Any) -> Iterable[dict[str, Any]]:
    return updates if isinstance(updates, list) else ()


def _export(records: Records, driver: VolumeDriver, volume: Record) -> None:
    try:
        driver.ensure_export(RequestContext.admin(), volume)
    except Exception as error:
        LOG.exception("volume %s is in use, but its export did not come back: %s", volume.id, error)
        try:
            records.volumes.transition(volume.id, "error", when=("in-use",))
        except (StatusChanged, NotFound) as changed:
            LOG.info("volume %s is left as it is: %s", volume.id, changed)
