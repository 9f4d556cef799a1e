# SPDX-License-Identifier: Apache-2.0
"""Attaching and detaching, as Nova does it today and as it did before."""

from __future__ import annotations

import uuid

import pytest
from cinderclient import exceptions

from tests.cinder.api.user import User
from tests.cinder.cloud import Cloud

CONNECTOR = {"host": "compute", "ip": "127.0.0.1", "initiator": "iqn.2026-11.org:compute"}


class TestAttachments:
    def test_a_life(self, cloud: Cloud, user: User) -> None:
        volume = user.volume()
        made = user.api.attachments.create(volume.id, CONNECTOR)

        assert made["connection_info"]["driver_volume_type"]
        assert user.api.volumes.get(volume.id).status == "attaching"
        user.api.attachments.complete(made["id"])
        shown = user.wait(user.api.volumes, volume, "in-use")
        assert [a["attachment_id"] for a in shown.attachments] == [made["id"]]
        with pytest.raises(exceptions.BadRequest):
            user.api.volumes.delete(volume)

        user.api.attachments.delete(made["id"])
        user.wait(user.api.volumes, volume, "available")
        user.deleted(user.api.volumes, volume)
        heard = cloud.notices.of(volume.id)
        assert [e for e in heard if "tach" in e] == [
            "volume.attach.start",
            "volume.attach.end",
            "volume.detach.start",
            "volume.detach.end",
        ]

    def test_reserved_first_and_connected_later(self, user: User) -> None:
        volume = user.volume()
        made = user.api.attachments.create(volume.id, None)
        assert user.api.volumes.get(volume.id).status == "reserved"
        updated = user.api.attachments.update(made["id"], CONNECTOR)

        assert updated.connection_info["driver_volume_type"]
        user.api.attachments.delete(made["id"])
        user.wait(user.api.volumes, volume, "available")

    def test_two_at_once(self, cloud: Cloud, user: User) -> None:
        kind = cloud.type("shared", {"multiattach": "<is> True"})
        volume = user.volume(volume_type=kind.name)
        one, other = user.attached(volume, "compute-1"), user.attached(volume, "compute-2")
        assert len(user.api.volumes.get(volume.id).attachments) == 2
        user.api.attachments.delete(one["id"])
        assert user.wait(user.api.volumes, volume, "in-use")
        user.api.attachments.delete(other["id"])
        user.wait(user.api.volumes, volume, "available")


class TestActions:
    def test_a_life(self, user: User) -> None:
        volume = user.volume()
        user.api.volumes.reserve(volume)
        assert user.api.volumes.get(volume.id).status == "attaching"
        info = user.api.volumes.initialize_connection(volume, CONNECTOR)
        assert info["driver_volume_type"]
        user.api.volumes.attach(volume, str(uuid.uuid4()), "/dev/vdb", "rw")
        shown = user.wait(user.api.volumes, volume, "in-use")
        assert shown.attachments[0]["device"] == "/dev/vdb"

        user.api.volumes.begin_detaching(volume)
        user.api.volumes.terminate_connection(volume, CONNECTOR)
        user.api.volumes.detach(volume, shown.attachments[0]["attachment_id"])
        user.wait(user.api.volumes, volume, "available")

    def test_what_is_reserved_is_let_go(self, user: User) -> None:
        volume = user.volume()
        user.api.volumes.reserve(volume)
        user.api.volumes.unreserve(volume)
        assert user.wait(user.api.volumes, volume, "available")
