# SPDX-License-Identifier: Apache-2.0
"""Operations between volumes and images."""

from __future__ import annotations

import functools

from flows.volume import create_from_image, reimage, upload
from flows.volume.image_volumes import upload_by_clone
from tests.faults.kill.cases.case import Asked, Case
from tests.faults.kill.world import World


def _on(volume_id: str, project: str, image_id: str, /, **args: object) -> Asked:
    return Asked(project, volume_id, dict(args), {"volume": volume_id, "image": image_id})


def _create(world: World, project: str, *, disk_format: str) -> Asked:
    volume, image = world.volume(project, "creating", made=False), world.image(disk_format)
    spec = {"image_id": image["id"], "volume_properties": {"size": 1}}
    return _on(volume.id, project, image["id"], volume=volume, request_spec=spec)


def _create_from_volume(world: World, project: str) -> Asked:
    source, volume = world.volume(project), world.volume(project, "creating", made=False)
    place = {"locations": [{"url": f"cinder://{source.id}"}], "owner": project}
    image = world.image("raw", **place)
    spec = {"image_id": image["id"], "volume_properties": {"size": 1}}
    asked = _on(volume.id, project, image["id"], volume=volume, request_spec=spec)
    asked.roles["source"] = source.id
    return asked


def _upload(world: World, project: str, *, disk_format: str) -> Asked:
    volume, image = world.volume(project, "uploading"), world.image(disk_format, data=False)
    return _on(volume.id, project, image["id"], volume_id=volume.id, image_meta=image)


def _reimage(world: World, project: str) -> Asked:
    volume = world.volume(project, "downloading", previous_status="available")
    image = world.image("raw")
    return _on(volume.id, project, image["id"], volume=volume, image_meta=image)


def _reimage_from_snapshot(world: World, project: str) -> Asked:
    asked = _reimage(world, project)
    source = world.volume(project)
    snapshot = world.snapshot(source)
    asked.args["image_snap"] = snapshot
    asked.roles |= {"source": source.id, "snapshot": snapshot.id}
    return asked


CASES = (
    *(
        Case(
            f"create from image, {kind}",
            "create_volume",
            create_from_image.flow,
            functools.partial(_create, disk_format=kind),
        )
        for kind in ("raw", "qcow2")
    ),
    Case(
        "create from image in a volume",
        "create_volume",
        create_from_image.flow,
        _create_from_volume,
    ),
    *(
        Case(name, "copy_volume_to_image", factory, functools.partial(_upload, disk_format=kind))
        for name, factory, kind in (
            ("upload", upload.flow, "qcow2"),
            ("upload by clone", upload_by_clone.flow, "raw"),
        )
    ),
    Case("reimage", "reimage", reimage.flow, _reimage, "3.20"),
    Case("reimage from snapshot", "reimage", reimage.flow, _reimage_from_snapshot, "3.20"),
)
