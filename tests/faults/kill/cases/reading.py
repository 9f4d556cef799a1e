# SPDX-License-Identifier: Apache-2.0
"""Operations of the volume service for a backup."""

from __future__ import annotations

import functools
import socket

from flows.snapshot import connection
from flows.volume.data import backup_device
from tests.faults.kill.cases.case import Asked, Case
from tests.faults.kill.world import CONNECTOR, World

_HERE = {**CONNECTOR, "host": socket.gethostname(), "do_local_attach": True}


def _device(
    world: World, project: str, *, before: str, of_snapshot: bool = False, by_snapshot: bool = False
) -> Asked:
    volume = world.volume(project, "backing-up", previous_status=before)
    roles, more = {"volume": volume.id}, {}
    if before == "in-use":
        values = {"attach_status": "attached", "attached_host": CONNECTOR["host"]}
        attachment = world.records.attachments.create(volume_id=volume.id, **values)
        roles["attachment"] = attachment.id
    if of_snapshot:
        snapshot = world.snapshot(volume, "backing-up")
        roles["snapshot"] = more["snapshot_id"] = snapshot.id
    backup = world.backup(volume, **more)
    if by_snapshot:
        world.choose(backup.id)
    args = {"backup": backup, "want_objects": True, "async_call": True}
    return Asked(project, backup.id, args, {**roles, "backup": backup.id})


def _snapshot(world: World, project: str, **args: object) -> Asked:
    snapshot = world.snapshot(volume := world.volume(project), "backing-up")
    roles = {"volume": volume.id, "snapshot": snapshot.id}
    return Asked(project, snapshot.id, {"snapshot_id": snapshot.id, **args}, roles)


CASES = (
    *(
        Case(
            f"backup device, {name}",
            "get_backup_device",
            backup_device.flow,
            functools.partial(_device, before=before, **more),
            "3.17",
        )
        for name, before, more in (
            ("volume", "available", {}),
            ("volume in use", "in-use", {}),
            ("volume in use, by snapshot", "in-use", {"by_snapshot": True}),
            ("snapshot", "available", {"of_snapshot": True}),
            ("snapshot itself", "available", {"of_snapshot": True, "by_snapshot": True}),
        )
    ),
    Case(
        "connect snapshot",
        "initialize_connection_snapshot",
        connection.initialize,
        functools.partial(_snapshot, connector=_HERE),
        "3.13",
        call=True,
        undone=True,
    ),
    Case(
        "disconnect snapshot",
        "terminate_connection_snapshot",
        connection.terminate,
        functools.partial(_snapshot, connector=_HERE, force=True),
        "3.13",
        call=True,
    ),
    Case(
        "remove export of snapshot",
        "remove_export_snapshot",
        connection.remove_export,
        _snapshot,
        "3.13",
        call=True,
    ),
)
