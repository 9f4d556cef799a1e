# SPDX-License-Identifier: Apache-2.0
"""A driver that keeps its objects as names, and fails where a test says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.interface.errors import ManageExistingInvalidReference
from drivers.interface.group import VolumeConsistencyGroupDriver
from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver


class RecordingDriver(VolumeConsistencyGroupDriver, VolumeDriver):
    """Keeps its objects; a failing creation leaves half an object.

    ``plan`` maps a method to its behaviour: an exception to raise, an answer,
    or a call that gets its arguments and gives the answer. ``missing`` names methods
    that this driver does not have.

    :param directory: where the local paths of connected volumes lie.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(None, host="node@backend")
        self.directory = directory
        self.objects: set[str] = set()
        self.sizes: dict[str, int] = {}
        self.exports: set[str] = set()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.plan: dict[str, Any] = {}
        self.missing: set[str] = set()

    def called(self, method: str) -> list[dict[str, Any]]:
        return [details for name, details in self.calls if name == method]

    def do_setup(self, context: Any) -> None: ...

    def check_for_setup_error(self) -> None: ...

    def get_volume_stats(self, refresh: bool = False) -> Mapping[str, Any]:
        return {}

    def create_volume(self, volume: Record) -> Any:
        self._make(volume)
        return self._play("create_volume", volume=volume)

    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Any:
        if snapshot.name not in self.objects:
            raise AssertionError(f"{snapshot.name} is not on the backend")
        self._make(volume)
        return self._play("create_volume_from_snapshot", volume=volume, snapshot=snapshot)

    def create_cloned_volume(self, volume: Record, src_vref: Record) -> Any:
        self._require("create_cloned_volume")
        self._make(volume)
        return self._play("create_cloned_volume", volume=volume, source=src_vref)

    def delete_volume(self, volume: Record) -> None:
        self._play("delete_volume", volume=volume)
        self.objects.discard(volume.name)

    def clone_image(
        self, volume: Record, image_location: Any, image_id: str, image_metadata: Any, service: Any
    ) -> Any:
        return self._play("clone_image", (None, False), volume=volume)

    def extend_volume(self, volume: Record, new_size: int) -> None:
        self._play("extend_volume", volume=volume, new_size=new_size)
        self.sizes[volume.name] = new_size

    def create_snapshot(self, snapshot: Record) -> Any:
        self._make(snapshot)
        return self._play("create_snapshot", snapshot=snapshot)

    def delete_snapshot(self, snapshot: Record) -> None:
        self._play("delete_snapshot", snapshot=snapshot)
        self.objects.discard(snapshot.name)

    def revert_to_snapshot(self, context: Any, volume: Record, snapshot: Record) -> None:
        self._require("revert_to_snapshot")
        self._play("revert_to_snapshot", volume=volume, snapshot=snapshot)

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        return "safety" not in self.missing

    def manage_existing_get_size(self, volume: Record, existing_ref: Any) -> Any:
        self._find(existing_ref, volume)
        return self._play("manage_existing_get_size", 2, ref=existing_ref)

    def manage_existing(self, volume: Record, existing_ref: Any) -> Any:
        return self._adopt("manage_existing", volume, existing_ref)

    def manage_existing_snapshot_get_size(self, snapshot: Record, existing_ref: Any) -> Any:
        self._find(existing_ref, snapshot)
        return self._play("manage_existing_snapshot_get_size", 3, ref=existing_ref)

    def manage_existing_snapshot(self, snapshot: Record, existing_ref: Any) -> Any:
        return self._adopt("manage_existing_snapshot", snapshot, existing_ref)

    def unmanage(self, volume: Record) -> None:
        self._play("unmanage", volume=volume)

    def unmanage_snapshot(self, snapshot: Record) -> None:
        self._play("unmanage_snapshot", snapshot=snapshot)

    def create_consistencygroup(self, context: Any, group: Record) -> Any:
        return self._play("create_consistencygroup", group=group)

    def create_consistencygroup_from_src(
        self, context: Any, group: Record, volumes: Any, *sources: Any
    ) -> Any:
        for volume in volumes:
            self._make(volume)
        return self._play("create_consistencygroup_from_src", group=group, sources=sources)

    def delete_consistencygroup(self, context: Any, group: Record, volumes: Any) -> Any:
        answer = self._play("delete_consistencygroup", group=group, volumes=volumes)
        self.objects -= {volume.name for volume in volumes}
        return answer

    def update_consistencygroup(
        self, context: Any, group: Record, add_volumes: Any = None, remove_volumes: Any = None
    ) -> Any:
        return self._play("update_consistencygroup", joins=add_volumes, leaves=remove_volumes)

    def create_cgsnapshot(self, context: Any, cgsnapshot: Record, snapshots: Any) -> Any:
        for snapshot in snapshots:
            self._make(snapshot)
        return self._play("create_cgsnapshot", cgsnapshot=cgsnapshot, snapshots=snapshots)

    def delete_cgsnapshot(self, context: Any, cgsnapshot: Record, snapshots: Any) -> Any:
        answer = self._play("delete_cgsnapshot", cgsnapshot=cgsnapshot, snapshots=snapshots)
        self.objects -= {snapshot.name for snapshot in snapshots}
        return answer

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        self._play("validate_connector", connector=connector)

    def create_export(self, context: Any, volume: Record, connector: Any) -> Any:
        assert context.is_admin
        self.exports.add(volume.name)
        return self._play("create_export", volume=volume, connector=connector)

    def remove_export(self, context: Any, volume: Record) -> None:
        assert context.is_admin
        self._play("remove_export", volume=volume)
        self.exports.discard(volume.name)

    def initialize_connection(
        self, volume: Record, connector: Mapping[str, Any], initiator_data: Any = None
    ) -> Any:
        path = self.directory / volume.name
        if not path.exists():
            path.write_bytes(volume.name.encode().ljust(64))
        info = {"driver_volume_type": "local", "data": {"device_path": str(path)}}
        return self._play(
            "initialize_connection",
            info,
            volume=volume,
            connector=connector,
            initiator_data=initiator_data,
        )

    def terminate_connection(
        self, volume: Record, connector: Mapping[str, Any] | None, **more: Any
    ) -> Any:
        return self._play("terminate_connection", volume=volume, connector=connector, **more)

    def attach_volume(
        self, context: Any, volume: Record, instance_uuid: Any, host_name: Any, mountpoint: Any
    ) -> None:
        self._play("attach_volume", instance=instance_uuid, host=host_name, mountpoint=mountpoint)

    def detach_volume(self, context: Any, volume: Record, attachment: Any = None) -> None:
        self._play("detach_volume", attachment=attachment)

    def freeze_backend(self, context: Any) -> bool:
        return bool(self._play("freeze_backend", True))

    def thaw_backend(self, context: Any) -> bool:
        return bool(self._play("thaw_backend", True))

    def failover_host(
        self, context: Any, volumes: Any, secondary_id: Any = None, groups: Any = None
    ) -> Any:
        answer = (secondary_id, [], [])
        return self._play(
            "failover_host", answer, volumes=volumes, secondary=secondary_id, groups=groups
        )

    def failover(self, *args: Any, **kwargs: Any) -> Any:
        self._play("failover")
        return self.failover_host(*args, **kwargs)

    def enable_replication(self, context: Any, group: Record, volumes: Any, *targets: Any) -> Any:
        return self._play("enable_replication", (None, None), targets=targets)

    def disable_replication(self, context: Any, group: Record, volumes: Any, *targets: Any) -> Any:
        return self._play("disable_replication", (None, None), targets=targets)

    def failover_replication(self, context: Any, group: Record, volumes: Any, *targets: Any) -> Any:
        return self._play("failover_replication", (None, None), targets=targets)

    def accept_transfer(self, context: Any, volume: Record, user: str, project: str) -> Any:
        return self._play("accept_transfer", user=user, project=project)

    def retype(self, context: Any, volume: Record, new_type: Record, diff: Any, host: Any) -> Any:
        details = {"volume": volume, "new_type": new_type, "diff": diff, "host": host}
        return self._play("retype", False, **details)

    def migrate_volume(self, context: Any, volume: Record, host: Any) -> Any:
        return self._play("migrate_volume", (False, None), volume=volume, host=host)

    def update_migrated_volume(
        self, ctxt: Any, volume: Record, new_volume: Record, original_volume_status: str
    ) -> Any:
        self._require("update_migrated_volume")
        return self._play("update_migrated_volume", volume=volume, copy=new_volume)

    def before_volume_copy(
        self, context: Any, src_vol: Record, dest_vol: Record, remote: str | None = None
    ) -> None:
        self._play("before_volume_copy", volume=src_vol, copy=dest_vol, remote=remote)

    def after_volume_copy(
        self, context: Any, src_vol: Record, dest_vol: Record, remote: str | None = None
    ) -> None:
        self._play("after_volume_copy", volume=src_vol, copy=dest_vol, remote=remote)

    def _find(self, ref: Any, resource: Record) -> str:
        for name in (ref["source-name"], resource.name):
            if name in self.objects:
                return str(name)
        raise ManageExistingInvalidReference(f"no {ref}")

    def _adopt(self, method: str, resource: Record, ref: Any) -> Any:
        self.objects.discard(self._find(ref, resource))
        self.objects.add(resource.name)
        return self._play(method, resource=resource, ref=ref)

    def _require(self, method: str) -> None:
        if method in self.missing:
            raise NotImplementedError(method)

    def _make(self, thing: Record) -> None:
        if thing.name in self.objects:
            raise AssertionError(f"{thing.name} is on the backend already")
        self.objects.add(thing.name)

    def _play(self, method: str, answer: Any = None, **details: Any) -> Any:
        self.calls.append((method, details))
        planned = self.plan.get(method, answer)
        if callable(planned):
            planned = planned(**details)
        if isinstance(planned, BaseException):
            raise planned
        return planned
