# SPDX-License-Identifier: Apache-2.0
"""A volume driver whose behaviour a test writes into a file, even while it runs.

It keeps its objects as empty files, so a test in another process sees the remaining ones
on the "backend", and notes each call as a line of JSON.

``plan.json`` maps a method to its behaviour instead of success::

    {"create_volume": {"raise": "VolumeIsBusy", "text": "busy"},
     "delete_volume": {"return": 7},
     "extend_volume": {"wait_for": "/path/that/appears"},
     "create_snapshot": {"exit": true, "only": "the id of a resource"}}
"""

from __future__ import annotations

import builtins
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg

from drivers.interface import errors
from drivers.interface.group import VolumeConsistencyGroupDriver, VolumeGroupDriver
from drivers.interface.records import Record
from drivers.interface.volume import Update, VolumeDriver

_PATIENCE = 60.0

ROOM = 64 * 1024
"""Bytes that fit into an empty volume."""


class Script:
    """The files through which a test talks to the driver.

    :param directory: ``plan.json``, ``calls`` and ``backend/``.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._plan = directory / "plan.json"
        self._calls = directory / "calls"
        self._backend = directory / "backend"
        self._backend.mkdir(parents=True, exist_ok=True)

    def plan(self, **methods: Any) -> None:
        """Set the plan of methods; the others succeed."""
        fresh = self._plan.with_suffix(".new")
        fresh.write_text(json.dumps(methods))
        fresh.replace(self._plan)

    def planned(self, method: str) -> dict[str, Any]:
        """Return the plan of a method."""
        if not self._plan.exists():
            return {}
        found: dict[str, Any] = json.loads(self._plan.read_text()).get(method, {})
        return found

    def note(self, method: str, **details: Any) -> None:
        """Write down a call."""
        with self._calls.open("a") as calls:
            calls.write(json.dumps({"method": method, **details}, default=str) + "\n")

    def calls(self, method: str | None = None) -> list[dict[str, Any]]:
        """Return the calls so far, in order."""
        if not self._calls.exists():
            return []
        noted = [json.loads(line) for line in self._calls.read_text().splitlines()]
        return [call for call in noted if method in (None, call["method"])]

    def forget(self) -> None:
        """Forget the calls so far."""
        self._calls.unlink(missing_ok=True)

    def methods(self) -> list[str]:
        """Return the names of the calls so far, in order."""
        return [call["method"] for call in self.calls()]

    def make(self, name: str) -> None:
        """Make an object; making it twice is the error that a real backend gives."""
        os.close(os.open(self._backend / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    def path(self, name: str) -> Path:
        """Return where an object lies."""
        return self._backend / name

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        (self._backend / name).unlink(missing_ok=True)

    def rename(self, old: str, new: str) -> None:
        """Rename an object."""
        (self._backend / old).rename(self._backend / new)

    def objects(self) -> set[str]:
        """Return the objects on the backend."""
        return {path.name for path in self._backend.iterdir()}


class ScriptedDriver(VolumeConsistencyGroupDriver, VolumeGroupDriver, VolumeDriver):
    """Follows the plan, and otherwise does a driver's work.

    The methods of generic groups are not supported unless they are planned.
    """

    members_at_once: ClassVar[int] = 2
    SUPPORTS_ACTIVE_ACTIVE: ClassVar[bool] = True

    OPTS: ClassVar[list[cfg.Opt]] = [cfg.StrOpt("script", help="Directory of the script.")]

    def __init__(self, configuration: Any, *, host: str, **given: Any) -> None:
        super().__init__(configuration, host=host, **given)
        self._script = Script(Path(configuration.script))

    def do_setup(self, context: Any) -> None:
        self._play("do_setup", is_admin=context.is_admin, active=self.active_backend_id)

    def check_for_setup_error(self) -> None:
        self._play("check_for_setup_error")

    def get_volume_stats(self, refresh: bool = False) -> Mapping[str, Any]:
        stats = {
            "volume_backend_name": self.configuration.volume_backend_name,
            "vendor_name": "Test",
            "driver_version": "1.2.3",
            "storage_protocol": "iSCSI",
            "total_capacity_gb": 100,
            "free_capacity_gb": 50,
            **self._script.planned("stats"),
        }
        return self._play("get_volume_stats", stats, refresh=refresh)

    def create_volume(self, volume: Record) -> Update:
        self._script.make(volume.name)
        os.truncate(self._script.path(volume.name), ROOM)
        return self._play("create_volume", None, id=volume["id"], size=volume.size)

    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Update:
        self._script.make(volume.name)
        details = {"id": volume.id, "snapshot": snapshot.id, "size": volume.size}
        return self._play("create_volume_from_snapshot", None, **details)

    def create_cloned_volume(self, volume: Record, src_vref: Record) -> Update:
        if self._script.planned("create_cloned_volume").get("raise") == "NotImplementedError":
            raise NotImplementedError
        self._script.make(volume.name)
        return self._play("create_cloned_volume", None, id=volume.id, source=src_vref.id)

    def delete_volume(self, volume: Record) -> None:
        self._play("delete_volume", id=volume.id)
        self._script.remove(volume.name)

    def clone_image(
        self, volume: Record, image_location: Any, image_id: str, image_metadata: Any, service: Any
    ) -> Any:
        planned = self._script.planned("clone_image")
        if planned.get("cloned"):
            self._script.make(volume.name)
            return self._play("clone_image", ({}, True), id=volume.id, location=image_location)
        return self._play("clone_image", (None, False), id=volume.id, location=image_location)

    def copy_image_to_volume(
        self, context: Any, volume: Record, image_service: Any, image_id: str, **options: Any
    ) -> Any:
        size = sum(len(piece) for piece in image_service.download(context, image_id))
        details = {"image": image_id, "read": size, "status": volume.status, **options}
        return self._play("copy_image_to_volume", None, id=volume.id, **details)

    def copy_volume_to_image(
        self, context: Any, volume: Record, image_service: Any, image_meta: Any
    ) -> Any:
        if "raise" not in self._script.planned("copy_volume_to_image"):
            image_service.update(context, image_meta["id"], {}, iter([volume.name.encode()]))
        return self._play("copy_volume_to_image", None, id=volume.id, image=image_meta["id"])

    def clear_download(self, context: Any, volume: Record) -> None:
        self._play("clear_download", id=volume.id)

    def extend_volume(self, volume: Record, new_size: int) -> None:
        self._play("extend_volume", id=volume.id, size=volume.size, new_size=new_size)

    def create_snapshot(self, snapshot: Record) -> Update:
        self._script.make(snapshot.name)
        return self._play("create_snapshot", None, id=snapshot.id, volume=snapshot.volume_name)

    def delete_snapshot(self, snapshot: Record) -> None:
        self._play("delete_snapshot", id=snapshot.id)
        self._script.remove(snapshot.name)

    def manage_existing_get_size(self, volume: Record, existing_ref: Any) -> Any:
        """Return 2 GiB of whatever is on the backend."""
        self._find(existing_ref, volume)
        return self._play("manage_existing_get_size", 2, id=volume.id, ref=existing_ref)

    def manage_existing(self, volume: Record, existing_ref: Any) -> Any:
        """Rename an object to the volume's name."""
        return self._adopt("manage_existing", volume, existing_ref)

    def manage_existing_snapshot_get_size(self, snapshot: Record, existing_ref: Any) -> Any:
        """Return 3 GiB of whatever is on the backend."""
        self._find(existing_ref, snapshot)
        details = {"id": snapshot.id, "ref": existing_ref}
        return self._play("manage_existing_snapshot_get_size", 3, **details)

    def manage_existing_snapshot(self, snapshot: Record, existing_ref: Any) -> Any:
        """Rename an object to the snapshot's name."""
        return self._adopt("manage_existing_snapshot", snapshot, existing_ref)

    def get_manageable_volumes(self, cinder_volumes: Any, *paging: Any) -> Any:
        """List the objects of the plan, with the managed volumes as its arguments."""
        managed = sorted(volume.id for volume in cinder_volumes)
        return self._play("get_manageable_volumes", [], managed=managed, paging=paging)

    def get_manageable_snapshots(self, cinder_snapshots: Any, *paging: Any) -> Any:
        """List the objects of the plan, with the managed snapshots as its arguments."""
        managed = sorted(snapshot.id for snapshot in cinder_snapshots)
        return self._play("get_manageable_snapshots", [], managed=managed, paging=paging)

    def unmanage(self, volume: Record) -> None:
        """Forget a volume and keep its data."""
        self._play("unmanage", id=volume.id)

    def unmanage_snapshot(self, snapshot: Record) -> None:
        """Forget a snapshot and keep its data."""
        self._play("unmanage_snapshot", id=snapshot.id)

    def create_consistencygroup(self, context: Any, group: Record) -> Any:
        return self._of_group("create_consistencygroup", group)

    def create_consistencygroup_from_src(
        self, context: Any, group: Record, volumes: Any, *sources: Any
    ) -> Any:
        return self._from_source("create_consistencygroup_from_src", group, volumes, sources)

    def delete_consistencygroup(self, context: Any, group: Record, volumes: Any) -> Any:
        return self._of_group("delete_consistencygroup", group, volumes, self._script.remove)

    def update_consistencygroup(
        self, context: Any, group: Record, add_volumes: Any = None, remove_volumes: Any = None
    ) -> Any:
        return self._update("update_consistencygroup", group, add_volumes, remove_volumes)

    def create_cgsnapshot(self, context: Any, cgsnapshot: Record, snapshots: Any) -> Any:
        return self._of_group("create_cgsnapshot", cgsnapshot, snapshots, self._script.make)

    def delete_cgsnapshot(self, context: Any, cgsnapshot: Record, snapshots: Any) -> Any:
        return self._of_group("delete_cgsnapshot", cgsnapshot, snapshots, self._script.remove)

    def create_group(self, context: Any, group: Record) -> Any:
        self._require_plan("create_group")
        return self._of_group("create_group", group)

    def create_group_from_src(
        self, context: Any, group: Record, volumes: Any, *sources: Any
    ) -> Any:
        self._require_plan("create_group_from_src")
        return self._from_source("create_group_from_src", group, volumes, sources)

    def delete_group(self, context: Any, group: Record, volumes: Any) -> Any:
        self._require_plan("delete_group")
        return self._of_group("delete_group", group, volumes, self._script.remove)

    def update_group(
        self, context: Any, group: Record, add_volumes: Any = None, remove_volumes: Any = None
    ) -> Any:
        self._require_plan("update_group")
        return self._update("update_group", group, add_volumes, remove_volumes)

    def create_group_snapshot(self, context: Any, group_snapshot: Record, snapshots: Any) -> Any:
        self._require_plan("create_group_snapshot")
        return self._of_group("create_group_snapshot", group_snapshot, snapshots, self._script.make)

    def delete_group_snapshot(self, context: Any, group_snapshot: Record, snapshots: Any) -> Any:
        self._require_plan("delete_group_snapshot")
        remove = self._script.remove
        return self._of_group("delete_group_snapshot", group_snapshot, snapshots, remove)

    def revert_to_snapshot(self, context: Any, volume: Record, snapshot: Record) -> None:
        self._play("revert_to_snapshot", id=volume.id, snapshot=snapshot.id)

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        self._play("validate_connector")

    def create_export(
        self, context: Any, volume: Record, connector: Mapping[str, Any] | None
    ) -> Update:
        return self._play("create_export", None, id=volume.id, is_admin=context.is_admin)

    def ensure_export(self, context: Any, volume: Record) -> Update:
        return self._play("ensure_export", None, id=volume.id)

    def remove_export(self, context: Any, volume: Record) -> None:
        self._play("remove_export", id=volume.id)

    def initialize_connection(
        self,
        volume: Record,
        connector: Mapping[str, Any],
        initiator_data: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        info = {"driver_volume_type": "iscsi", "data": {"target_lun": 1}}
        if self._script.planned("initialize_connection").get("local"):
            path = str(self._script.path(volume.name))
            info = {"driver_volume_type": "local", "data": {"device_path": path}}
        details = {"id": volume.id, "connector": connector, "initiator_data": initiator_data}
        return self._play("initialize_connection", info, **details)

    def terminate_connection(
        self, volume: Record, connector: Mapping[str, Any] | None
    ) -> bool | None:
        return self._play("terminate_connection", None, id=volume.id, connector=connector)

    def attach_volume(
        self,
        context: Any,
        volume: Record,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
    ) -> None:
        details = {"instance": instance_uuid, "host": host_name, "mountpoint": mountpoint}
        self._play("attach_volume", id=volume.id, **details)

    def detach_volume(self, context: Any, volume: Record, attachment: Record | None = None) -> None:
        self._play("detach_volume", id=volume.id, attachment=attachment and attachment.id)

    def secure_file_operations_enabled(self) -> bool:
        return bool(self._play("secure_file_operations_enabled", True))

    def freeze_backend(self, context: Any) -> bool:
        return bool(self._play("freeze_backend", True))

    def thaw_backend(self, context: Any) -> bool:
        return bool(self._play("thaw_backend", True))

    def failover_host(
        self, context: Any, volumes: Any, secondary_id: Any = None, groups: Any = None
    ) -> Any:
        details = {"volumes": [v.id for v in volumes], "groups": [g.id for g in groups]}
        answer = (secondary_id, [], [])
        return self._play("failover_host", answer, id=secondary_id, **details)

    def enable_replication(self, context: Any, group: Record, volumes: Any, *targets: Any) -> Any:
        return self._replicate("enable_replication", group, volumes, *targets)

    def disable_replication(self, context: Any, group: Record, volumes: Any, *targets: Any) -> Any:
        return self._replicate("disable_replication", group, volumes, *targets)

    def failover_completed(self, context: Any, active_backend_id: str | None = None) -> None:
        self._play("failover_completed", active=active_backend_id)

    def failover_replication(self, context: Any, group: Record, volumes: Any, *targets: Any) -> Any:
        return self._replicate("failover_replication", group, volumes, *targets)

    def _replicate(self, method: str, group: Record, volumes: Any, *targets: Any) -> Any:
        ids = [volume.id for volume in volumes]
        return self._play(method, (None, None), id=group.id, members=ids, targets=targets)

    def accept_transfer(self, context: Any, volume: Record, user: str, project: str) -> Any:
        return self._play("accept_transfer", None, id=volume.id, user=user, project=project)

    def retype(self, context: Any, volume: Record, new_type: Record, diff: Any, host: Any) -> Any:
        details = {"new_type": new_type.name, "diff": diff, "host": host["host"]}
        return _pair(self._play("retype", False, id=volume.id, **details))

    def migrate_volume(self, context: Any, volume: Record, host: Any) -> Any:
        details = {"host": host["host"], "status": volume.migration_status}
        return _pair(self._play("migrate_volume", [False, None], id=volume.id, **details))

    def update_migrated_volume(
        self, ctxt: Any, volume: Record, new_volume: Record, original_volume_status: str
    ) -> Any:
        details = {"id": volume.id, "copy": new_volume.id, "status": original_volume_status}
        self._script.note("update_migrated_volume", **details)
        self._require_plan("update_migrated_volume")
        return self._play("update_migrated_volume", None, **details)

    def before_volume_copy(
        self, context: Any, src_vol: Record, dest_vol: Record, remote: str | None = None
    ) -> None:
        self._play("before_volume_copy", id=src_vol.id, copy=dest_vol.id, remote=remote)

    def after_volume_copy(
        self, context: Any, src_vol: Record, dest_vol: Record, remote: str | None = None
    ) -> None:
        self._play("after_volume_copy", id=src_vol.id, copy=dest_vol.id, remote=remote)

    def _require_plan(self, method: str) -> None:
        if not self._script.planned(method):
            raise NotImplementedError

    def _of_group(
        self, method: str, group: Record, members: Any = (), work: Any = None, **details: Any
    ) -> Any:
        """Play a method on a group; the work on its members is done unless it is planned."""
        planned = self._script.planned(method)
        if planned.get("raise") == "NotImplementedError":
            raise NotImplementedError
        for member in members if work else ():
            if "raise" not in planned:
                work(member.name)
        answer = (None, None) if method != "create_consistencygroup" else None
        ids = [member["id"] for member in members]
        return self._play(method, answer, id=group["id"], members=ids, seen=group.kind, **details)

    def _from_source(self, method: str, group: Record, volumes: Any, sources: Any) -> Any:
        snapshot, snapshots, source, source_volumes = sources
        details = {
            "snapshot": snapshot and snapshot.id,
            "source": source and source.id,
            "sources": [one.id for one in snapshots or source_volumes],
        }
        return self._of_group(method, group, volumes, self._script.make, **details)

    def _update(self, method: str, group: Record, joins: Any, leaves: Any) -> Any:
        if self._script.planned(method).get("raise") == "NotImplementedError":
            raise NotImplementedError
        details = {"joins": [one.id for one in joins], "leaves": [one.id for one in leaves]}
        return self._play(method, (None, None, None), id=group.id, seen=group.kind, **details)

    def _find(self, ref: Any, resource: Record) -> str:
        """Return the object's old or new name."""
        for name in (ref.get("source-name"), resource.name):
            if name in self._script.objects():
                return str(name)
        raise errors.ManageExistingInvalidReference(f"there is no {ref}")

    def _adopt(self, method: str, resource: Record, ref: Any) -> Any:
        self._script.rename(self._find(ref, resource), resource.name)
        return self._play(method, None, id=resource.id, ref=ref)

    def _play(self, method: str, answer: Any = None, **details: Any) -> Any:
        self._script.note(method, **details)
        planned = self._script.planned(method)
        if planned.get("only") not in (None, details.get("id")):
            return answer
        if "wait_for" in planned:
            wait_for(Path(planned["wait_for"]))
        if planned.get("exit"):
            os._exit(9)
        if "raise" in planned:
            name = planned["raise"]
            kind = getattr(errors, name, None) or getattr(builtins, name)
            raise kind(planned.get("text", f"{method} was told to fail"))
        return planned.get("return", answer)


def _pair(answer: Any) -> Any:
    """Return a tuple that JSON has made a list."""
    return tuple(answer) if isinstance(answer, list) else answer


def wait_for(path: Path) -> None:
    """Wait until a file appears."""
    deadline = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear")
        time.sleep(0.02)
