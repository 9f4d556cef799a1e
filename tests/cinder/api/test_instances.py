# SPDX-License-Identifier: Apache-2.0
"""Volumes of instances: notifications and requests to Nova."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cinder.api.user import User, wait
from tests.cinder.cloud import Cloud
from tests.servers.nova import Nova

CONNECTOR = {"host": "compute", "ip": "127.0.0.1", "initiator": "iqn.2026-11.org.example:compute"}


EVERYBODYS = {"all_tenants": 1}


@pytest.fixture
def nova(cloud: Cloud) -> Iterator[Nova]:
    """Nova, without notifications so far."""
    running = cloud.control.nova
    running.told.clear()
    yield running
    running.answer = None
    running.swaps = lambda *_: None


@pytest.fixture
def on_one(cloud: Cloud) -> str:
    """A type of volumes that grow while they are attached; those of an NBD server do not."""
    return str(cloud.type("on-one", {"volume_backend_name": "one"}).name)


@pytest.fixture
def instance() -> str:
    return str(uuid.uuid4())


def wait_told(nova: Nova, name: str, instance: str, volume: Any) -> None:
    """Wait until Nova was notified, of this volume only, once."""
    event = {"name": name, "server_uuid": instance, "tag": volume.id}
    wait(lambda: nova.told, lambda: f"Nova is not told of {name}")
    assert nova.told == [event]


def test_a_guest_sees_that_its_volume_has_grown(
    user: User, nova: Nova, instance: str, on_one: str
) -> None:
    volume = user.volume(volume_type=on_one)
    made = user.attached(volume, instance=instance)
    user.api.volumes.extend(volume, 2)
    grown = user.wait_size(volume, 2)

    assert grown.status == "in-use"
    wait_told(nova, "volume-extended", instance, volume)
    user.api.attachments.delete(made["id"])
    user.deleted(user.api.volumes, user.wait(user.api.volumes, volume, "available"))


def test_a_user_reads_that_the_guest_does_not(
    user: User, nova: Nova, instance: str, on_one: str
) -> None:
    nova.answer = (500, '{"computeFault": {"message": "not now"}}')
    volume = user.volume(volume_type=on_one)
    user.attached(volume, instance=instance)
    user.api.volumes.extend(volume, 2)
    user.wait_size(volume, 2)

    assert user.told(volume) == ["extend volume:Compute service failed to extend volume."]


def test_a_rebuild_goes_on_when_the_image_is_there(
    cloud: Cloud, user: User, nova: Nova, instance: str
) -> None:
    image, _data = cloud.image()
    volume = user.volume(imageRef=image)
    user.api.attachments.create(volume.id, None, instance)
    other, _data = cloud.image()
    user.api.volumes.reimage(volume, other, reimage_reserved=True)

    wait_told(nova, "volume-reimaged", instance, volume)
    shown = user.wait(user.api.volumes, volume, "reserved")
    assert shown.volume_image_metadata["image_id"] == other


def copies(cloud: Cloud, volume: Any) -> list[Any]:
    """Return the objects of an unfinished migration of a volume."""
    target, known = f"target:{volume.id}", cloud.admin.api.volumes.list(search_opts=EVERYBODYS)
    return [v for v in known if getattr(v, "os-vol-mig-status-attr:migstat") == target]


class Swap:
    """Nova's calls when it swaps a volume with one attachment.

    :param failing: whether the instance cannot copy it.
    """

    def __init__(self, cloud: Cloud, attachment: Any, *, failing: bool = False) -> None:
        self._cloud = cloud
        self._attachment = attachment
        self._failing = failing
        self.errors: list[Exception] = []

    def begin(self, instance: str, volume: str, copy: str) -> None:
        """Reserve the copy, and go on by itself."""
        made = self._cloud.admin.api.attachments.create(copy, None, instance)
        threading.Thread(target=self._go_on, args=(volume, copy, made["id"])).start()

    def _go_on(self, volume: str, copy: str, attachment: str) -> None:
        api = self._cloud.admin.api
        try:
            if self._failing:
                api.attachments.delete(attachment)
            else:
                api.attachments.update(attachment, CONNECTOR)
                old, new = (self._cloud.file(api.volumes.get(one)) for one in (volume, copy))
                shutil.copyfile(old, new)
                api.attachments.complete(attachment)
                api.attachments.delete(self._attachment["id"])
            info = {"new_volume": copy, "error": self._failing}
            api.volumes._action("os-migrate_volume_completion", volume, info)
        except Exception as error:  # noqa: BLE001 - it is told to who waits
            self.errors.append(error)


class TestMigrate:
    """An instance goes on with its volume on another backend."""

    def migrate(self, cloud: Cloud, volume: Any) -> str:
        """Ask for it, and return the backend that it is to come to."""
        shown = cloud.admin.api.volumes.get(volume.id)
        here = getattr(shown, "os-vol-host-attr:host")
        there = "node@two#two" if "@one" in here else "node@one#one"
        cloud.admin.api.volumes.migrate_volume(volume, there, False, False)
        return there

    def ended(self, cloud: Cloud, volume: Any, swap: Swap) -> Any:
        """Wait until a migration has ended, and return the volume."""

        def migrated(shown: Any) -> bool:
            assert swap.errors == []
            return getattr(shown, "os-vol-mig-status-attr:migstat") in ("success", "error")

        cloud.admin.wait_for(cloud.admin.api.volumes, volume, migrated)
        return cloud.admin.wait(cloud.admin.api.volumes, volume, "in-use")

    def test_the_data_is_there(
        self, cloud: Cloud, user: User, nova: Nova, instance: str, ours: bool
    ) -> None:
        if not ours:
            pytest.skip("Cinder may delete the attachment with the copy: docs/compatibility.rst")
        volume = user.volume()
        cloud.scribble(volume)
        data, before, usage = cloud.data(volume), cloud.file(volume), user.usage()
        swap = Swap(cloud, user.attached(volume, instance=instance))
        nova.swaps = swap.begin
        there = self.migrate(cloud, volume)

        shown = self.ended(cloud, volume, swap)
        assert getattr(shown, "os-vol-host-attr:host") == there
        assert getattr(shown, "os-vol-mig-status-attr:migstat") == "success"
        assert cloud.data(volume) == data
        cloud.wait_no_file(before)
        (attachment,) = shown.attachments
        assert attachment["server_id"] == instance
        user.wait_usage(usage)

        user.api.attachments.delete(attachment["attachment_id"])
        user.deleted(user.api.volumes, user.wait(user.api.volumes, volume, "available"))
        user.wait_usage({})

    def test_one_that_fails_stays(
        self, cloud: Cloud, user: User, nova: Nova, instance: str
    ) -> None:
        volume = user.volume()
        swap = Swap(cloud, user.attached(volume, instance=instance), failing=True)
        nova.swaps = swap.begin
        before, usage = cloud.file(volume), user.usage()
        self.migrate(cloud, volume)

        shown = self.ended(cloud, volume, swap)
        assert getattr(shown, "os-vol-mig-status-attr:migstat") == "error"
        assert cloud.file(volume) == before
        assert [one["server_id"] for one in shown.attachments] == [instance]
        user.wait_usage(usage)

    def test_one_that_nova_refuses_stays(
        self, cloud: Cloud, user: User, nova: Nova, instance: str
    ) -> None:
        nova.answer = (409, '{"conflictingRequest": {"message": "locked"}}')
        volume = user.volume()
        swap = Swap(cloud, user.attached(volume, instance=instance))
        self.migrate(cloud, volume)

        shown = self.ended(cloud, volume, swap)
        assert getattr(shown, "os-vol-mig-status-attr:migstat") == "error"
        wait(lambda: not copies(cloud, volume), lambda: "the copy is still there")
