# SPDX-License-Identifier: Apache-2.0
"""Hosts that share a volume keep its NBD server until the last of them has gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.cloud import BACKEND, HOST, Cloud
from tests.functional.local_driver.nbd import Disk
from worker.rpc import objects

HOSTS = ("one", "two")


@pytest.fixture
def volume(nbd_cloud: Cloud) -> Record:
    made = nbd_cloud.volume(host=f"{HOST}#{BACKEND}", multiattach=True)
    nbd_cloud.cast("create_volume", volume=made)
    nbd_cloud.wait_status(made, "available")
    return made


def connected(cloud: Cloud, volume: Record, host: str) -> Any:
    return cloud.call("initialize_connection", volume=volume, connector={"host": host})["data"]


def test_the_older_way(nbd_cloud: Cloud, volume: Record) -> None:
    cloud, named = nbd_cloud, {"volume_id": volume.id}
    attached = {}
    for host in HOSTS:
        where = connected(cloud, volume, host)
        args = {"instance_uuid": None, "host_name": host, "mountpoint": "/dev/vdb", "mode": "rw"}
        answer = cloud.call("attach_volume", "3.3", **named, **args)
        attached[host] = answer["versioned_object.data"]["id"]

    with Disk(where["socket"], where["export"]) as disk:
        disk.write(0, b"x" * 512)
        cloud.call("terminate_connection", **named, connector={"host": "one"}, force=False)
        cloud.call("detach_volume", "3.4", **named, attachment_id=attached["one"])
        cloud.call("remove_export", **named)

        assert disk.read(0, 512) == b"x" * 512

    cloud.call("terminate_connection", **named, connector={"host": "two"}, force=False)
    cloud.call("detach_volume", "3.4", **named, attachment_id=attached["two"])
    assert not Path(where["socket"]).exists()
    assert cloud.status(volume) == "available"


def test_the_way_of_attachments(nbd_cloud: Cloud, volume: Record) -> None:
    cloud = nbd_cloud
    made = {host: cloud.attachment(volume, attach_mode="null") for host in HOSTS}
    for host in HOSTS:
        where = cloud.call(
            "attachment_update",
            "3.9",
            vref=objects.volume(volume, objects.OBJECT_VERSION),
            connector={"host": host},
            attachment_id=made[host].id,
        )

    with Disk(where["socket"], where["export"]) as disk:
        disk.write(0, b"x" * 512)
        delete(cloud, volume, made["one"])

        assert disk.read(0, 512) == b"x" * 512

    assert json.loads(cloud.records.attachments.get(made["two"].id).connector) == {"host": "two"}
    delete(cloud, volume, made["two"])
    assert not Path(where["socket"]).exists()


def delete(cloud: Cloud, volume: Record, attachment: Record) -> None:
    """End an attachment as the API does: it destroys the row afterwards."""
    vref = objects.volume(volume, objects.OBJECT_VERSION)
    cloud.call("attachment_delete", "3.9", attachment_id=attachment.id, vref=vref)
    cloud.records.attachments.destroy(attachment.id)
