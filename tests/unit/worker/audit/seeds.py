# SPDX-License-Identifier: Apache-2.0
"""One way to bring about each kind of drift."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping

from taskflow.types.failure import Failure

from tests.unit.db.world import LONG_AGO
from tests.unit.worker.audit.world import HOST, Place

_GONE = {"deleted": True, "deleted_at": LONG_AGO, "status": "deleted"}


def volume_object_missing(place: Place) -> str:
    return place.volume(data=False)


def volume_size_differs(place: Place) -> str:
    volume_id = place.volume(size=2)
    place.file(f"volume-{volume_id}", 3)
    return volume_id


def volume_object_unknown(place: Place) -> str:
    return place.volume(**_GONE)


def snapshot_object_missing(place: Place) -> str:
    return place.snapshot(place.volume(), data=False)


def snapshot_object_unknown(place: Place) -> str:
    return place.snapshot(place.volume(), **_GONE)


def temporary_object_left(place: Place) -> str:
    name = f"revert-{uuid.uuid4()}"
    place.file(name, 1)
    return name


def volume_in_use_without_attachment(place: Place) -> str:
    return place.volume(status="in-use", attach_status="attached")


def volume_available_but_attached(place: Place) -> str:
    volume_id = place.volume()
    place.attachment(volume_id)
    return volume_id


def attach_status_differs(place: Place) -> str:
    return place.volume(attach_status="attached")


def attachment_of_deleted_volume(place: Place) -> str:
    volume_id = place.volume(data=False, **_GONE)
    attachment_id = place.attachment(volume_id)
    del place.exports[f"volume-{volume_id}"]
    return attachment_id


def export_without_attachment(place: Place) -> str:
    volume_id = place.volume()
    place.exports[f"volume-{volume_id}"] = ("compute",)
    return volume_id


def attachment_without_export(place: Place) -> str:
    volume_id = place.volume(status="in-use", attach_status="attached")
    place.attachment(volume_id)
    del place.exports[f"volume-{volume_id}"]
    return volume_id


def snapshot_of_deleted_volume(place: Place) -> str:
    volume_id = place.volume(data=False, **_GONE)
    return place.snapshot(volume_id, status="error", data=False)


def volume_of_missing_group(place: Place) -> str:
    return place.volume(group_id=place.tables.add("groups", status="deleted", deleted=True))


def volume_of_missing_type(place: Place) -> str:
    return place.volume(volume_type_id=str(uuid.uuid4()))


def volume_of_missing_service(place: Place) -> str:
    service_uuid = str(uuid.uuid4())
    place.tables.add("services", uuid=service_uuid, report_count=1, deleted=True)
    return place.volume(service_uuid=service_uuid)


def migration_target_left(place: Place) -> str:
    target = f"target:{place.volume()}"
    return place.volume(status="error", data=False, use_quota=False, migration_status=target)


def temporary_row_left(place: Place) -> str:
    return place.volume(display_name="backup-vol-x", use_quota=False)


def cache_entry_of_missing_volume(place: Place) -> str:
    volume_id = place.volume(data=False, **_GONE)
    place.cache_entry(host=HOST, image_id="i", volume_id=volume_id, size=1)
    return volume_id


def volume_key_missing(place: Place) -> str:
    return place.volume(volume_type_id=place.encrypted_id)


def volume_key_unexpected(place: Place) -> str:
    return place.volume(encryption_key_id="k")


def snapshot_key_differs(place: Place) -> str:
    volume_id = place.volume(volume_type_id=place.encrypted_id, encryption_key_id="k")
    return place.snapshot(volume_id, encryption_key_id="other")


def revert_incomplete(place: Place) -> str:
    detail = place.operation(place.volume())
    progress = place.journal.progress(detail)
    failure = Failure.from_exception(ValueError("it failed"))
    place.journal.finish(detail, progress, failure, {"allocate": "OSError: busy"})
    return place.since_long(detail)


def operation_resource_missing(place: Place) -> str:
    return place.since_long(place.operation(place.volume(data=False, **_GONE)))


def operation_without_service(place: Place) -> str:
    return place.since_long(place.operation(place.volume(), "node@former/0"))


def lock_file_left(place: Place) -> str:
    path = place.locks / f"cinder-{uuid.uuid4()}-delete_snapshot"
    path.touch()
    os.utime(path, (0, 0))
    return path.name


def status_orphaned(place: Place) -> str:
    return place.volume(status="extending")


def work_row_left(place: Place) -> str:
    volume_id = place.volume()
    place.work("Volume", volume_id, "creating")
    return volume_id


def work_row_of_missing_service(place: Place) -> str:
    volume_id = place.volume(status="maintenance")
    gone = place.tables.add("services", report_count=1, deleted=True)
    place.work("Volume", volume_id, "maintenance", service_id=gone)
    return volume_id


def work_row_of_missing_resource(place: Place) -> str:
    snapshot_id = str(uuid.uuid4())
    place.work("Snapshot", snapshot_id, "deleting")
    return snapshot_id


def quota_in_use_differs(place: Place) -> str:
    project = uuid.uuid4().hex
    place.usage(project, "volumes", 1)
    return project


def quota_reserved_differs(place: Place) -> str:
    project = uuid.uuid4().hex
    place.usage(project, "volumes", 0, reserved=1)
    return project


def quota_usage_duplicated(place: Place) -> str:
    project = uuid.uuid4().hex
    for _number in range(2):
        place.usage(project, "volumes", 0)
    return project


def reservation_expired(place: Place) -> str:
    project = uuid.uuid4().hex
    return place.reservation(place.usage(project, "volumes", 0, reserved=1), project, LONG_AGO)


def backup_dependents_differ(place: Place) -> str:
    return place.backup(num_dependent_backups=1)


def backup_parent_missing(place: Place) -> str:
    return place.backup(parent_id=place.backup(**_GONE))


def backup_objects_missing(place: Place) -> str:
    return place.backup(data=False)


def backup_objects_unknown(place: Place) -> str:
    backup_id = place.backup(**_GONE)
    place.stored(backup_id)
    return backup_id


def backup_names_temporary(place: Place) -> str:
    return place.backup(status="error", temp_volume_id=str(uuid.uuid4()))


SEEDS: Mapping[str, Callable[[Place], str]] = {
    name: value
    for name, value in globals().items()
    if callable(value) and getattr(value, "__module__", "") == __name__
}
"""By the name of the kind; each returns the id of the resource that is reported."""


def strange_object(place: Place) -> str:
    """Leave an object that no row of this database ever had."""
    volume_id = str(uuid.uuid4())
    place.file(f"volume-{volume_id}", 1)
    return volume_id
