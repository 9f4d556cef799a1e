# SPDX-License-Identifier: Apache-2.0
"""One case for each operation and each way that it can go."""

from __future__ import annotations

from typing import Any

from drivers.interface.records import Record
from flows.snapshot import create as snapshot_create
from flows.snapshot import delete as snapshot_delete
from flows.snapshot import manage as snapshot_manage
from flows.volume import accept_transfer, create, delete, extend, manage, revert
from flows.volume.connections import attach, attachment, connection, detach
from flows.volume.encryption import clone as encrypted_clone
from tests.faults.kill.cases import groups, images, moves, reading
from tests.faults.kill.cases.case import Asked, Case
from tests.faults.kill.world import CONNECTOR, GIB, World

INSTANCE = "8d9a2d1e-5f8d-4d2f-9a55-0c8f6a8f7c11"
SPEC = {"volume_id": "x", "volume_properties": {"size": 1}}
RETRY = {"retry": {"num_attempts": 1, "hosts": [["h1@b1#b1", "h1@b1#b1"]]}}


def _on(volume: Record, role: str = "volume", /, **args: Any) -> Asked:
    return Asked(volume.project_id, volume.id, args, {role: volume.id})


def _create(world: World, project: str) -> Asked:
    volume = world.volume(project, "creating", made=False)
    return _on(volume, volume=volume)


def _create_with_retry(world: World, project: str) -> Asked:
    asked = _create(world, project)
    asked.args |= {"request_spec": SPEC, "filter_properties": RETRY}
    return asked


def _create_from_snapshot(world: World, project: str) -> Asked:
    source = world.volume(project)
    snapshot = world.snapshot(source)
    volume = world.volume(project, "creating", made=False, size=2, snapshot_id=snapshot.id)
    asked = _on(volume, volume=volume)
    asked.roles |= {"source": source.id, "snapshot": snapshot.id}
    return asked


def _clone(world: World, project: str) -> Asked:
    source = world.volume(project)
    volume = world.volume(project, "creating", made=False, source_volid=source.id)
    asked = _on(volume, volume=volume)
    asked.roles["source"] = source.id
    return asked


def _clone_encrypted(world: World, project: str) -> Asked:
    of_type = {"volume_type_id": world.encrypted_type()}
    source = world.volume(project, encryption_key_id=world.key(), **of_type)
    more = {"source_volid": source.id, "encryption_key_id": world.key(), **of_type}
    volume = world.volume(project, "creating", made=False, **more)
    asked = _on(volume, volume=volume)
    asked.roles["source"] = source.id
    return asked


def _delete(world: World, project: str) -> Asked:
    volume = world.volume(project, "deleting")
    return _on(volume, volume=volume)


def _cascade(world: World, project: str) -> Asked:
    volume = world.volume(project, "deleting")
    asked = _on(volume, volume=volume, cascade=True)
    for name in ("first", "second"):
        asked.roles[name] = world.snapshot(volume, "deleting").id
    return asked


def _unmanage(world: World, project: str) -> Asked:
    volume = world.volume(project, "unmanaging")
    return _on(volume, volume=volume, unmanage_only=True)


def _manage(world: World, project: str) -> Asked:
    volume = world.volume(project, "managing", made=False, size=0)
    name = f"loose-{volume.id}"
    world.files.create(name, 2 * GIB)
    return _on(volume, volume=volume, ref={"source-name": name})


def _manage_snapshot(world: World, project: str) -> Asked:
    asked = _create_snapshot(world, project)
    name = f"loose-{asked.resource}"
    world.files.create(name, GIB // 2)
    asked.args["ref"] = {"source-name": name}
    return asked


def _extend(world: World, project: str) -> Asked:
    volume = world.volume(project, "extending")
    held = world.records.quotas.reserve(project, {"gigabytes": 2})
    return _on(volume, volume=volume, new_size=3, reservations=held)


def _extended_by_its_host(world: World, project: str) -> Asked:
    asked = _extend(world, project)
    asked.args["error"] = False
    return asked


def _create_snapshot(world: World, project: str) -> Asked:
    volume = world.volume(project)
    snapshot = world.snapshot(volume, "creating", made=False)
    roles = {"volume": volume.id, "snapshot": snapshot.id}
    return Asked(project, snapshot.id, {"snapshot": snapshot}, roles)


def _delete_snapshot(world: World, project: str) -> Asked:
    volume = world.volume(project)
    snapshot = world.snapshot(volume, "deleting")
    roles = {"volume": volume.id, "snapshot": snapshot.id}
    return Asked(project, snapshot.id, {"snapshot": snapshot}, roles)


def _unmanage_snapshot(world: World, project: str) -> Asked:
    volume = world.volume(project)
    snapshot = world.snapshot(volume, "unmanaging")
    roles = {"volume": volume.id, "snapshot": snapshot.id}
    return Asked(project, snapshot.id, {"snapshot": snapshot, "unmanage_only": True}, roles)


def _revert(world: World, project: str) -> Asked:
    volume = world.volume(project, "reverting")
    snapshot = world.snapshot(volume, "restoring")
    asked = _on(volume, volume=volume, snapshot=snapshot)
    asked.roles["snapshot"] = snapshot.id
    return asked


def _reserved(world: World, project: str) -> Asked:
    volume = world.volume(project)
    rows = world.records.attachments
    attachment = rows.create(volume_id=volume.id, attach_status="reserved")
    rows.settle_volume(volume.id)
    args = {"vref": volume, "connector": CONNECTOR, "attachment_id": attachment.id}
    return Asked(project, volume.id, args, {"volume": volume.id, "attachment": attachment.id})


def _attached(world: World, project: str) -> Asked:
    """A volume that is connected for real."""
    asked = _reserved(world, project)
    world.call(project, "attachment_update", "3.9", asked.args)
    rows = world.records.attachments
    rows.update(asked.args["attachment_id"], attach_status="attached")
    rows.settle_volume(asked.resource)
    return asked


def _disconnect(world: World, project: str) -> Asked:
    asked = _attached(world, project)
    del asked.args["connector"]
    return asked


def _attach(world: World, project: str) -> Asked:
    volume = world.volume(project, "attaching")
    where = {"instance_uuid": INSTANCE, "host_name": None, "mountpoint": "/dev/vdb", "mode": "rw"}
    return _on(volume, volume_id=volume.id, **where)


def _detach(world: World, project: str) -> Asked:
    asked = _attached(world, project)
    world.records.volumes.update(asked.resource, status="detaching")
    asked.args = {"volume_id": asked.resource, "attachment_id": asked.args["attachment_id"]}
    return asked


def _initialize(world: World, project: str) -> Asked:
    volume = world.volume(project)
    return _on(volume, volume=volume, connector=CONNECTOR)


def _terminate(world: World, project: str) -> Asked:
    asked = _initialize(world, project)
    world.call(project, "initialize_connection", "3.0", asked.args)
    asked.args = {"volume_id": asked.resource, "connector": CONNECTOR}
    return asked


def _remove_export(world: World, project: str) -> Asked:
    asked = _terminate(world, project)
    del asked.args["connector"]
    return asked


def _accept_transfer(world: World, project: str) -> Asked:
    volume = world.volume(project, "awaiting-transfer")
    return _on(volume, volume_id=volume.id, new_user="e" * 32, new_project="f" * 32)


WHOLE = frozenset({"freeze_host", "thaw_host", "failover", "failover_host", "do_cleanup"})
"""Methods on the whole backend: they would disturb the others, and go one at a time.

They are killed in tests/functional/operations/host/test_maintenance.py and test_cleanup.py, and
at each of their effects in tests/unit/flows.
"""

CASES = (
    Case("create", "create_volume", create.flow, _create),
    Case("create, to be rescheduled", "create_volume", create.flow, _create_with_retry),
    Case("create from snapshot", "create_volume", create.flow, _create_from_snapshot),
    Case("clone", "create_volume", create.flow, _clone),
    Case("clone, encrypted", "create_volume", encrypted_clone.flow, _clone_encrypted),
    Case("delete", "delete_volume", delete.flow, _delete),
    Case("delete, cascading", "delete_volume", delete.flow, _cascade),
    Case("unmanage", "delete_volume", delete.flow, _unmanage),
    Case("manage", "manage_existing", manage.flow, _manage),
    Case("manage snapshot", "manage_existing_snapshot", snapshot_manage.flow, _manage_snapshot),
    Case("extend", "extend_volume", extend.flow, _extend),
    Case(
        "extended by its host",
        "extend_volume_completion",
        extend.completion,
        _extended_by_its_host,
        "3.19",
    ),
    Case("snapshot", "create_snapshot", snapshot_create.flow, _create_snapshot),
    Case("delete snapshot", "delete_snapshot", snapshot_delete.flow, _delete_snapshot),
    Case("unmanage snapshot", "delete_snapshot", snapshot_delete.flow, _unmanage_snapshot),
    Case("revert to snapshot", "revert_to_snapshot", revert.flow, _revert, "3.15"),
    Case(
        "initialize connection",
        "initialize_connection",
        connection.initialize,
        _initialize,
        call=True,
        undone=True,
    ),
    Case(
        "terminate connection",
        "terminate_connection",
        connection.terminate_flow,
        _terminate,
        call=True,
    ),
    Case("remove export", "remove_export", connection.remove_export, _remove_export, call=True),
    Case("attach", "attach_volume", attach.attach, _attach, "3.3", call=True),
    Case("detach", "detach_volume", detach.detach, _detach, "3.4", call=True),
    Case(
        "update attachment",
        "attachment_update",
        attachment.update,
        _reserved,
        "3.9",
        call=True,
        undone=True,
    ),
    Case(
        "update attachment again",
        "attachment_update",
        attachment.update,
        _attached,
        "3.9",
        call=True,
        undone=True,
    ),
    Case(
        "delete attachment", "attachment_delete", attachment.delete, _disconnect, "3.9", call=True
    ),
    Case(
        "accept transfer",
        "accept_transfer",
        accept_transfer.flow,
        _accept_transfer,
        "3.16",
        call=True,
        undone=True,
    ),
    *groups.CASES,
    *images.CASES,
    *moves.CASES,
    *reading.CASES,
)
