# SPDX-License-Identifier: Apache-2.0
"""Every cast, ready to run, and its invariants after any end."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.interface.errors import ImageCopyFailure
from flows.context import CloneUploads, ImageCacheOptions
from flows.factories import Factory
from flows.group import create as group_create
from flows.group import create_from, create_snapshot, delete_snapshot, replicate
from flows.group import delete as group_delete
from flows.group import update as group_update
from flows.host import failover
from flows.snapshot import create as snapshot_create
from flows.snapshot import delete as snapshot_delete
from flows.snapshot import manage as snapshot_manage
from flows.volume import (
    create,
    create_from_image,
    delete,
    extend,
    manage,
    reimage,
    revert,
    upload,
)
from flows.volume.encryption import clone
from flows.volume.image_cache import create as cached
from flows.volume.image_cache import evict, fill
from flows.volume.image_volumes import upload_by_clone
from flows.volume.migration import complete, migrate, retype
from tests.unit.flows.every_cast import encrypted
from tests.unit.flows.every_cast import group_cases as groups
from tests.unit.flows.world import migrations
from tests.unit.flows.world.world import HOST, World

TERMINAL = {
    *("available", "in-use", "error", "error_deleting", "error_unmanaging"),
    *("error_extending", "error_managing", "deleted", "reserved"),
}
CREATE = {"request_spec": None, "filter_properties": None, "allow_reschedule": True}
LUN = "lun-1"
"""An object on the backend that is to be taken over; it must never be lost."""
REF = {"ref": {"source-name": LUN}}
DELETE = {"unmanage_only": False, "cascade": False}
CACHE = ImageCacheOptions("internal", "internal", max_count=1)
FILL = {
    "place": {"host": HOST, "cluster_name": None, "size": 1, "volume_type_id": "t1"},
    "pool": {"column": "host", "name": HOST},
}
CACHED = {"project_id": "internal", "host": HOST, "status": "available"}


@dataclass(frozen=True)
class Case:
    """One cast.

    :param arrange: makes the rows and objects that are there when it arrives.
    :param keeps: whether the backend object stays when the row goes.
    """

    name: str
    factory: Factory
    arrange: Callable[[World], None]
    args: Mapping[str, Any] = field(default_factory=dict)
    keeps: bool = False

    def start(self, world: World) -> dict[str, Any]:
        """Arrange the world and return the arguments."""
        self.arrange(world)
        args = dict(self.args)
        # An extension's two GiB; for a retype one type's quota becomes the other's.
        for name, delta in (("reservations", 2), ("old_reservations", -2)):
            if name in args:
                args[name] = [world.db.quota.reserve("gigabytes", delta)]
        return args


def _create(world: World) -> None:
    world.add_volume(status="creating", made=False)


def _from_snapshot(world: World) -> None:
    world.add_volume("v0", bootable=True)
    world.add_snapshot(volume_id="v0")
    world.db.pairs["image", "s1"] = {"os": "linux"}
    world.add_volume(status="creating", made=False, snapshot_id="s1", size=2)


def _clone(world: World) -> None:
    world.add_volume("v0", bootable=True)
    world.db.pairs["image", "v0"] = {"os": "linux"}
    world.add_volume(status="creating", made=False, source_volid="v0", size=2)


def _clone_by_snapshot(world: World) -> None:
    _clone(world)
    world.driver.missing.add("create_cloned_volume")


def _clone_encrypted(world: World) -> None:
    encrypted.arrange(world)


def _clone_encrypted_by_snapshot(world: World) -> None:
    encrypted.arrange(world)
    world.driver.missing.add("create_cloned_volume")


def _encrypt(world: World) -> None:
    encrypted.arrange_retype(world, None, encrypted.BY_STORAGE)


def _encrypt_anew(world: World) -> None:
    encrypted.arrange_retype(world, encrypted.BY_STORAGE, encrypted.BY_STORAGE_512)


def _decrypt(world: World) -> None:
    encrypted.arrange_retype(world, encrypted.BY_STORAGE, None)


def _delete(world: World) -> None:
    world.add_volume(status="deleting")


def _cascade(world: World) -> None:
    world.add_volume(status="deleting")
    for snapshot_id in ("s1", "s2", "s3"):
        world.add_snapshot(snapshot_id, status="deleting")


def _unmanage(world: World) -> None:
    world.add_volume(status="unmanaging")


def _extend(world: World) -> None:
    world.add_volume(status="extending", size=3)


def _extend_attached(world: World) -> None:
    _extend(world)
    world.add_attachment(instance_uuid="i1")


def _create_snapshot(world: World) -> None:
    world.add_volume(bootable=True)
    world.db.pairs["image", "v1"] = {"os": "linux"}
    world.add_snapshot(status="creating", made=False)


def _delete_snapshot(world: World) -> None:
    world.add_volume()
    world.add_snapshot(status="deleting")


def _unmanage_snapshot(world: World) -> None:
    world.add_volume()
    world.add_snapshot(status="unmanaging")


def _revert(world: World) -> None:
    world.add_volume(status="reverting")
    world.add_snapshot(status="restoring")


def _revert_by_copy(world: World) -> None:
    _revert(world)
    world.driver.missing.add("revert_to_snapshot")


def _revert_without_safety(world: World) -> None:
    _revert(world)
    world.driver.missing.add("safety")


def _manage(world: World) -> None:
    world.add_volume(status="managing", made=False, size=0)
    world.driver.objects.add(LUN)


def _manage_snapshot(world: World) -> None:
    world.add_volume()
    world.add_snapshot(status="creating", made=False)
    world.driver.objects.add(LUN)


def _from_image(world: World) -> None:
    world.add_volume(status="creating", made=False)


def _cloned_image(world: World) -> None:
    _from_image(world)

    def clone(volume: Any, **_: Any) -> Any:
        world.driver.objects.add(volume.name)
        return {"provider_id": "shared"}, True

    world.driver.plan["clone_image"] = clone


def _in_image_volume(world: World) -> None:
    _from_image(world)
    world.options = dataclasses.replace(world.options, clone_image_volumes=True)
    source_id = "5d0a6a3e-1c1c-4f4d-9df5-2b7a8f3f2c11"
    world.add_volume(source_id, project_id="glance")
    world.db.pairs["metadata", source_id] = {"image_owner": "p"}
    world.images.service.images["i1"]["owner"] = "p"
    world.images.service.locations = None, [{"url": f"cinder://{source_id}", "metadata": {}}]


def _in_cache(world: World) -> None:
    _from_image(world)
    world.options = dataclasses.replace(world.options, image_cache=CACHE)
    world.add_volume("v0", **CACHED)
    world.cache("v0")


def _full_cache(world: World) -> None:
    world.options = dataclasses.replace(world.options, image_cache=CACHE)
    world.add_volume("v0", **CACHED)
    world.cache("v0", image_id="i0")


def _evicted(world: World) -> None:
    world.add_volume(**CACHED)


def _upload(world: World) -> None:
    world.add_volume(status="uploading")
    world.images.service.images["i2"] = {"id": "i2", "status": "queued", "disk_format": "raw"}


def _upload_by_clone(world: World) -> None:
    _upload(world)
    world.options = dataclasses.replace(world.options, clone_uploads=CloneUploads("internal", "i"))


def _upload_refused_clone(world: World) -> None:
    _upload_by_clone(world)
    world.images.service.refusal = ImageCopyFailure("no service role")


def _reimage(world: World) -> None:
    world.add_volume(status="downloading", previous_status="reserved")
    world.add_attachment(instance_uuid="i1", attach_status="reserved")


def _reimage_from_snapshot(world: World) -> None:
    _reimage(world)
    world.add_volume("v2")
    world.add_snapshot(volume_id="v2")


def _failover(world: World) -> None:
    """Two that are replicated, of which one cannot be moved; one that is not; a group."""
    world.add_group("group", "available", replication_status="enabled")
    for number, status in enumerate(("enabled", "enabled", "disabled"), 1):
        world.add_volume(f"v{number}", replication_status=status)
        world.add_snapshot(f"s{number}", f"v{number}")
    updates = [
        {"volume_id": "v1", "updates": {"provider_id": "there"}},
        {"volume_id": "v2", "updates": {"status": "error"}},
    ]
    world.driver.plan["failover_host"] = ("second", updates, [])


def _failback(world: World) -> None:
    _failover(world)
    world.service.row |= {"active_backend_id": "second", "frozen": True}
    world.driver.plan["failover_host"] = ("", [], [])


_V = {"volume_id": "v1"}
_S = {"snapshot_id": "s1"}
_EXTEND = {**_V, "new_size": 5, "reservations": []}

CASES = [
    Case("create", create.flow, _create, {**_V, **CREATE}),
    Case("create-from-snapshot", create.flow, _from_snapshot, {**_V, **CREATE}),
    Case("clone", create.flow, _clone, {**_V, **CREATE}),
    Case("clone-by-snapshot", create.flow, _clone_by_snapshot, {**_V, **CREATE}),
    Case("clone-encrypted", clone.flow, _clone_encrypted, {**_V, **CREATE}),
    Case(
        "clone-encrypted-by-snapshot",
        clone.flow,
        _clone_encrypted_by_snapshot,
        {**_V, **CREATE},
    ),
    Case("delete", delete.flow, _delete, {**_V, **DELETE}),
    Case("delete-cascade", delete.flow, _cascade, {**_V, **DELETE, "cascade": True}),
    Case("unmanage", delete.flow, _unmanage, {**_V, **DELETE, "unmanage_only": True}, True),
    Case("extend", extend.flow, _extend, _EXTEND),
    Case("extend-attached", extend.flow, _extend_attached, _EXTEND),
    Case("extend-completion", extend.completion, _extend, {**_EXTEND, "error": False}),
    Case("snapshot-create", snapshot_create.flow, _create_snapshot, _S),
    Case("snapshot-delete", snapshot_delete.flow, _delete_snapshot, {**_S, "unmanage_only": False}),
    Case(
        "snapshot-unmanage",
        snapshot_delete.flow,
        _unmanage_snapshot,
        {**_S, "unmanage_only": True},
        True,
    ),
    Case("manage", manage.flow, _manage, {**_V, **REF}),
    Case("manage-snapshot", snapshot_manage.flow, _manage_snapshot, {**_S, **REF}),
    Case("image-create", create_from_image.flow, _from_image, {**_V, **CREATE, "image_id": "i1"}),
    Case("image-clone", create_from_image.flow, _cloned_image, {**_V, **CREATE, "image_id": "i1"}),
    Case(
        "image-volume",
        create_from_image.flow,
        _in_image_volume,
        {**_V, **CREATE, "image_id": "i1"},
    ),
    Case("image-cached", cached.flow, _in_cache, {**_V, **CREATE, "image_id": "i1"}),
    Case("image-fill", fill.flow, _full_cache, {**_V, **FILL, "image_id": "i1"}),
    Case("image-evict", evict.flow, _evicted, {**_V, **DELETE, "image_id": "i1"}),
    Case("upload", upload.flow, _upload, {**_V, "image_meta": {"id": "i2"}}),
    *(
        Case(
            name,
            upload_by_clone.flow,
            arrange,
            {**_V, "image_meta": {"id": "i2"}, "image_volume_id": "c1"},
        )
        for name, arrange in (
            ("upload-by-clone", _upload_by_clone),
            ("upload-refused-clone", _upload_refused_clone),
        )
    ),
    Case(
        "reimage", reimage.flow, _reimage, {**_V, "image_meta": {"id": "i1"}, "snapshot_id": None}
    ),
    Case(
        "reimage-from-snapshot",
        reimage.flow,
        _reimage_from_snapshot,
        {**_V, "image_meta": {"id": "i1"}, **_S},
    ),
    Case("migrate", migrate.flow, migrations.starting, migrations.MIGRATE),
    Case("migrate-by-driver", migrate.flow, migrations.by_driver, migrations.MIGRATE),
    Case("migrate-attached", migrate.flow, migrations.attached, migrations.MIGRATE),
    Case("retype-attached", retype.flow, migrations.retyping_attached, migrations.RETYPE_AWAY),
    Case("retype", retype.flow, migrations.in_place, migrations.RETYPE),
    Case("retype-equal", retype.flow, migrations.equal, migrations.RETYPE),
    Case("retype-migrating", retype.flow, migrations.retyping, migrations.RETYPE_AWAY),
    Case("retype-copying", retype.flow, migrations.retyping, migrations.RETYPE),
    Case("retype-encrypting", retype.flow, _encrypt, migrations.RETYPE),
    Case("retype-encrypting-anew", retype.flow, _encrypt_anew, migrations.RETYPE),
    Case("retype-decrypting", retype.flow, _decrypt, migrations.RETYPE),
    Case("retype-by-driver", retype.flow, migrations.retyping_by_driver, migrations.RETYPE_AWAY),
    Case("completion", complete.completion, migrations.copied, migrations.COMPLETION),
    Case(
        "completion-in-use",
        complete.completion,
        migrations.swapped_by_nova,
        migrations.COMPLETION,
    ),
    Case("abandonment", complete.abandonment, migrations.copied, migrations.COMPLETION),
    Case("revert", revert.flow, _revert, {**_V, **_S}),
    Case("revert-by-copy", revert.flow, _revert_by_copy, {**_V, **_S}),
    Case("failover", failover.flow, _failover, {"secondary_id": "second"}),
    Case("failback", failover.flow, _failback, {"secondary_id": "default"}),
    Case("revert-without-safety", revert.flow, _revert_without_safety, {**_V, **_S}),
]
_GROUPS: list[tuple[str, Factory, Callable[[World, str], None], dict[str, Any]]] = [
    ("create", group_create.flow, groups.empty, groups.ARGS),
    ("delete", group_delete.flow, groups.deleting, groups.ARGS),
    (
        "update",
        group_update.flow,
        groups.updating,
        {**groups.ARGS, "add": ["v3"], "remove": ["v1"]},
    ),
    ("snapshot-create", create_snapshot.flow, groups.creating_snapshot, groups.SNAPSHOT_ARGS),
    ("snapshot-delete", delete_snapshot.flow, groups.deleting_snapshot, groups.SNAPSHOT_ARGS),
    (
        "from-snapshot",
        create_from.flow,
        groups.from_snapshot,
        {"resource_id": "g2", "snapshot_id": groups.SNAPSHOT, "source_id": None},
    ),
    (
        "from-group",
        create_from.flow,
        groups.from_group,
        {"resource_id": "g2", "snapshot_id": None, "source_id": groups.GROUP},
    ),
]
CASES += [
    Case(
        name,
        factory,
        functools.partial(groups.replicating, during=during),
        {"kind": "group", **groups.ARGS, "targets": targets, "allow_attached": True},
    )
    for name, factory, during, targets in (
        ("replication-enable", replicate.enable, "enabling", []),
        ("replication-disable", replicate.disable, "disabling", []),
        ("replication-failover", replicate.failover, "failing-over", ["second"]),
    )
]
_KINDS = {"group": "group_snapshot", "consistencygroup": "cgsnapshot"}
CASES += [
    Case(
        f"{kind}-{name}",
        factory,
        functools.partial(arrange, kind=kind),  # type: ignore[call-arg]
        {"kind": _KINDS[kind] if args is groups.SNAPSHOT_ARGS else kind, **args},
    )
    for kind in _KINDS
    for name, factory, arrange, args in _GROUPS
]


def effects_of(case: Case, world: World) -> list[str]:
    """Run a case undisturbed and return its effects in order."""
    args = case.start(world)
    assert world.run(case.factory, **args).state == "done"
    return list(world.effects)


def assert_settled(world: World, case: Case, broken: str = "") -> None:
    """Whatever happened, nothing hangs, nothing is left behind, nothing counts twice.

    :param broken: the driver's method that keeps failing; what only it could
        remove may be left.
    """
    rows = [*world.db.volumes.rows.values(), *world.db.snapshots.rows.values()]
    rows = [row for row in rows if row["id"] not in _handed_over(world)]
    hanging = {row["id"]: row["status"] for row in rows if not row["deleted"]}
    assert set(hanging.values()) <= TERMINAL, hanging
    groups = [row for table in world.db.groups.values() for row in table.rows.values()]
    assert {row["status"] for row in groups} <= {"available", "error", "deleted"}, groups
    assert not world.db.work, "a work row stayed"
    assert not world.db.quota.open, "a reservation stayed open"
    assert not world.images.aside, "a half-read image was left aside"
    statuses = {image["status"] for image in world.images.service.images.values()}
    assert statuses <= {"active"}, "an image without data was left"
    assert world.db.quota.used == _counted(world)
    migrating = {row["migration_status"] for row in rows if not row["deleted"] and "size" in row}
    # A copy that Nova made has the data: it may be completed yet.
    kept = {"target:v1"} if case.args.get("spare_id") else set()
    assert migrating <= {None, "success", "error", *kept}, "a migration goes on for ever"
    encrypted.assert_exact(world)
    assert not world.elsewhere.exports
    assert world.elsewhere.objects == {
        f"volume-{row['_name_id'] or row['id']}"
        for row in world.db.volumes.of(host=migrations.THERE)
    }
    if not broken.startswith(("delete_", "remove_")):
        lost = _expected(world, case) ^ _objects(world, case)
        assert lost <= _half_deleted(world, case), lost
        assert not world.driver.exports


def _handed_over(world: World) -> set[str]:
    """Return the volumes that a compute service swaps, which ends their migration."""
    reserved = [row for row in world.db.volumes.of() if row["status"] == "reserved"]
    targets = {str(row["migration_status"] or "").partition(":")[2] for row in reserved}
    return targets | {row["id"] for row in reserved if row["migration_status"]}


def _counted(world: World) -> dict[str, int]:
    volumes = [v for v in world.db.volumes.of() if v["use_quota"]]
    snapshots = [s for s in world.db.snapshots.of() if s["use_quota"]]
    sizes = [v["size"] for v in volumes] + [s["volume_size"] for s in snapshots]
    found = {"volumes": len(volumes), "snapshots": len(snapshots), "gigabytes": sum(sizes)}
    groups = world.db.groups["group"]
    return {**found, "groups": len(groups.of())} if groups.rows else found


def _expected(world: World, case: Case) -> set[str]:
    ours = [v for v in world.db.volumes.of() if v["host"] != migrations.THERE]
    volumes = {f"volume-{v['_name_id'] or v['id']}" for v in ours if _has_object(case, v)}
    snapshots = {f"snapshot-{s['id']}" for s in world.db.snapshots.of() if _is_kept(case, s)}
    kept = {"volume-v1"} if case.keeps and "volume_id" in case.args else set()
    kept |= {"snapshot-s1"} if case.keeps and "snapshot_id" in case.args else set()
    return volumes | snapshots | kept


def _objects(world: World, case: Case) -> set[str]:
    """Return the objects on the backend; a managed one may have kept its name."""
    objects = set(world.driver.objects)
    if LUN in objects:
        objects.remove(LUN)
        objects.add("volume-v1" if case.factory is manage.flow else "snapshot-s1")
    return objects


def _half_deleted(world: World, case: Case) -> set[str]:
    """Resources whose status shows that their deletion may be incomplete."""
    found = {"error_deleting"}
    if case.factory in (group_delete.flow, delete_snapshot.flow):
        found |= {"error", "deleted"}
    volumes = [v for v in world.db.volumes.of() if v["status"] in found]
    snapshots = [s for s in world.db.snapshots.of() if s["status"] in found]
    return {f"volume-{v['id']}" for v in volumes} | {f"snapshot-{s['id']}" for s in snapshots}


def _is_kept(case: Case, row: Mapping[str, Any]) -> bool:
    return row["status"] != "error" or case.factory in (snapshot_manage.flow, failover.flow)


_CREATES = (
    create.flow,
    clone.flow,
    create_from.flow,
    create_from_image.flow,
    cached.flow,
    fill.flow,
)


def _has_object(case: Case, row: Mapping[str, Any]) -> bool:
    """A volume whose creation failed has none; one whose revert failed has."""
    return row["status"] != "error" or case.factory not in _CREATES
