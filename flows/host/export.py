# SPDX-License-Identifier: Apache-2.0
"""Restore the export of a volume when its backend starts.

Source: spec/service §4, step 8.
"""

from __future__ import annotations

import logging

from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from flows.errors import NotFound, StatusChanged
from flows.lifecycle import Statuses
from flows.protocols.records import VolumeRecords
from flows.protocols.request import Request
from flows.statuses import AttachStatus, VolumeStatus

LOG = logging.getLogger(__name__)

STATUSES = Statuses(during=(VolumeStatus.IN_USE,), failure={Exception: VolumeStatus.ERROR})
"""A success leaves the status as it is; so does a failure of a volume that is being detached."""


def is_exported(volume: Record) -> bool:
    """Return whether a volume has to be exported.

    Cinder checks the status only, but a volume that is being detached is in use too.
    """
    return volume.status in STATUSES.during or any(map(_is_connected, volume.volume_attachment))


def restore(
    volumes: VolumeRecords,
    driver: VolumeDriver,
    request: Request,
    volume: Record,
    *,
    shared: bool = False,
) -> None:
    """Have the driver export a volume again; one that it cannot export is in ``error``.

    :param shared: whether other hosts of a cluster serve the volume as well: its status stays.
    """
    try:
        driver.ensure_export(request, volume)
    except Exception as error:
        LOG.exception("the export of volume %s, which is in use, failed: %s", volume.id, error)
        if shared:
            return
        try:
            volumes.transition(volume.id, STATUSES.failed, when=STATUSES.during)
        except (StatusChanged, NotFound) as changed:
            LOG.info("the status of volume %s stays: %s", volume.id, changed)


def _is_connected(attachment: Record) -> bool:
    attached: bool = attachment.attach_status == AttachStatus.ATTACHED
    return attached or attachment.connector is not None
