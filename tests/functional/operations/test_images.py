# SPDX-License-Identifier: Apache-2.0
"""Volumes from images, images from volumes, images over volumes: spec/volume-rpc."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import ImageNotFound
from drivers.interface.records import Record
from tests.functional.cloud import BACKEND, HOST, Cloud
from tests.servers import until

POOL = f"{HOST}#{BACKEND}"
RETRY = {"retry": {"num_attempts": 1, "hosts": [[POOL, POOL]]}}


def spec(image: dict[str, Any]) -> dict[str, Any]:
    return {"image_id": image["id"], "volume_properties": {"size": 1}}


def create(cloud: Cloud, image: dict[str, Any], status: str, **args: Any) -> tuple[Record, Record]:
    """Create a volume from an image; return it as it was and as it is."""
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume, request_spec=spec(image), **args)
    row = cloud.wait_status(volume, status)
    cloud.wait_idle()
    assert row is not None
    return volume, row


def messages(cloud: Cloud, volume: Record) -> list[str]:
    return [m.event_id for m in cloud.records.messages.list() if m.resource_uuid == volume.id]


def calls(cloud: Cloud, method: str, volume: Record) -> list[dict[str, Any]]:
    return [call for call in cloud.script.calls(method) if call["id"] == volume.id]


class TestCreateFromImage:
    def test_the_image_is_copied_and_what_is_known_of_it_kept(self, cloud: Cloud) -> None:
        image = cloud.image(
            min_ram=64, properties={"os_distro": "debian", "hw_vif_model": "virtio"}
        )
        volume, row = create(cloud, image, "available")

        assert row.bootable
        assert row.glance_metadata == {
            "image_id": image["id"],
            "image_name": "linux",
            "checksum": image["checksum"],
            "container_format": "bare",
            "disk_format": "raw",
            "min_disk": "0",
            "min_ram": "64",
            "size": "16",
            "signature_verified": "False",
            "os_distro": "debian",
            "hw_vif_model": "virtio",
        }
        (copied,) = calls(cloud, "copy_image_to_volume", volume)
        assert (copied["read"], copied["image"]) == (16, image["id"])
        assert len(calls(cloud, "create_volume", volume)) == 1

    def test_the_driver_may_clone_it(self, cloud: Cloud) -> None:
        cloud.script.plan(clone_image={"cloned": True})
        volume, row = create(cloud, cloud.image(), "available")

        assert row.bootable and row.glance_metadata["image_name"] == "linux"
        (asked,) = calls(cloud, "clone_image", volume)
        assert asked["location"][0].startswith("file:///")
        assert not calls(cloud, "create_volume", volume)
        assert not calls(cloud, "copy_image_to_volume", volume)

    @pytest.mark.parametrize(
        ("answer", "cloned"),
        [
            pytest.param({"provider_id": "there"}, True, id="a bare dict: cloned"),
            pytest.param([{"provider_id": "there"}, True], None, id="a list is rubbish"),
            pytest.param(None, False, id="none: not cloned"),
            pytest.param(7, None, id="rubbish"),
        ],
    )
    def test_what_the_driver_says_of_a_clone(
        self, cloud: Cloud, answer: Any, cloned: bool | None
    ) -> None:
        cloud.script.plan(clone_image={"return": answer})
        volume, row = create(cloud, cloud.image(), "available" if cloned is not None else "error")

        assert bool(calls(cloud, "create_volume", volume)) == (cloned is False)
        assert row.provider_id == ("there" if cloned else None)

    @pytest.mark.parametrize(
        "known",
        [
            pytest.param({"disk_format": "aki"}, id="format"),
            pytest.param({"container_format": "ova"}, id="container"),
            pytest.param({"min_disk": 2}, id="min_disk"),
            pytest.param({"virtual_size": 2 * 1024**3}, id="virtual size"),
        ],
    )
    def test_an_image_that_does_not_fit(self, cloud: Cloud, known: dict[str, Any]) -> None:
        image = cloud.image(**known)
        volume, row = create(cloud, image, "error", filter_properties=RETRY)

        assert row.host is not None  # not handed back: it would fit nowhere
        assert messages(cloud, volume) == ["VOLUME_VOLUME_005_001"]
        assert not calls(cloud, "create_volume", volume)

    def test_an_image_without_data(self, cloud: Cloud) -> None:
        volume, _ = create(cloud, cloud.image(None), "error")

        assert not calls(cloud, "create_volume", volume)

    def test_no_such_image(self, cloud: Cloud) -> None:
        create(cloud, {"id": "00000000-0000-0000-0000-00000000dead"}, "error")

    @pytest.mark.parametrize(
        ("error", "event"),
        [
            ("ImageTooBig", "005_007"),
            ("ImageUnacceptable", "005_001"),
            ("ImageConversionNotAllowed", "005_029"),
            ("OSError", "005_001"),
            ("KeyboardInterrupt", "005_001"),
        ],
    )
    def test_a_copy_that_fails_is_never_rescheduled(
        self, cloud: Cloud, error: str, event: str
    ) -> None:
        cloud.script.plan(copy_image_to_volume={"raise": error})
        volume, row = create(cloud, cloud.image(), "error", filter_properties=RETRY)

        assert row.host is not None
        assert messages(cloud, volume) == [f"VOLUME_VOLUME_{event}"]
        assert volume.name not in cloud.script.objects()
        assert row.glance_metadata == {}

    def test_a_creation_that_fails_is_rescheduled(self, cloud: Cloud) -> None:
        cloud.script.plan(create_volume={"raise": "VolumeBackendAPIException"})
        volume = cloud.volume()
        args = {"request_spec": spec(cloud.image()), "filter_properties": RETRY}
        cloud.cast("create_volume", volume=volume, **args)
        until(lambda: cloud.records.volumes.get(volume.id).host is None, 60, "no host")
        cloud.wait_idle()

        assert cloud.status(volume) == "creating"
        assert messages(cloud, volume) == ["VOLUME_VOLUME_008_012"]

    def test_another_source_in_the_row_goes_first(self, cloud: Cloud) -> None:
        source = cloud.existing()
        volume = cloud.volume(source_volid=source.id)
        cloud.cast("create_volume", volume=volume, request_spec=spec(cloud.image()))
        cloud.wait_status(volume, "available")

        assert len(calls(cloud, "create_cloned_volume", volume)) == 1
        assert not calls(cloud, "clone_image", volume)


class TestUpload:
    def upload(self, cloud: Cloud, volume: Record, status: str) -> dict[str, Any]:
        image = cloud.image(None)
        cloud.cast("copy_volume_to_image", volume_id=volume.id, image_meta=image)
        cloud.wait_status(volume, status)
        cloud.wait_idle()
        return image

    @pytest.mark.parametrize(("attached", "status"), [(False, "available"), (True, "in-use")])
    def test_it_has_the_data(self, cloud: Cloud, attached: bool, status: str) -> None:
        volume = cloud.existing("uploading")
        if attached:
            cloud.attachment(volume, "attached")
        image = self.upload(cloud, volume, status)

        assert cloud.images.show(None, image["id"])["status"] == "active"
        assert b"".join(cloud.images.download(None, image["id"])) == volume.name.encode()

    @pytest.mark.parametrize(("attached", "status"), [(False, "available"), (True, "in-use")])
    @pytest.mark.parametrize("error", ["VolumeBackendAPIException", "OSError", "SystemExit"])
    def test_a_failure_leaves_the_volume_and_no_image(
        self, cloud: Cloud, attached: bool, status: str, error: str
    ) -> None:
        volume = cloud.existing("uploading")
        if attached:
            cloud.attachment(volume, "attached")
        cloud.script.plan(copy_volume_to_image={"raise": error})
        image = self.upload(cloud, volume, status)

        assert messages(cloud, volume) == ["VOLUME_VOLUME_003_004"]
        with pytest.raises(ImageNotFound):
            cloud.images.show(None, image["id"])

    def test_no_such_image(self, cloud: Cloud) -> None:
        volume = cloud.existing("uploading")
        cloud.cast("copy_volume_to_image", volume_id=volume.id, image_meta={"id": "no-such-image"})
        cloud.wait_status(volume, "available")

        assert not calls(cloud, "copy_volume_to_image", volume)


class TestReimage:
    @pytest.mark.parametrize("before", ["available", "error", "reserved", None])
    def test_it_has_the_status_that_it_had(self, cloud: Cloud, before: str | None) -> None:
        volume = cloud.existing("downloading", previous_status=before)
        cloud.records.volumes.replace_image_metadata(volume.id, {"os_distro": "old", "gone": "1"})
        image = cloud.image(properties={"os_distro": "new"})
        cloud.cast("reimage", "3.20", volume=volume, image_meta=image)
        row = cloud.wait_status(volume, before or "available")

        assert row is not None and row.bootable
        assert row.glance_metadata["os_distro"] == "new"
        assert "gone" not in row.glance_metadata
        (copied,) = calls(cloud, "copy_image_to_volume", volume)
        assert copied["disable_sparse"] is True

    @pytest.mark.parametrize(
        ("error", "event"), [("ImageConversionNotAllowed", "029"), ("OSError", "001")]
    )
    def test_a_failure_ends_in_error(self, cloud: Cloud, error: str, event: str) -> None:
        volume = cloud.existing("downloading", previous_status="available")
        cloud.script.plan(copy_image_to_volume={"raise": error})
        cloud.cast("reimage", "3.20", volume=volume, image_meta=cloud.image())
        row = cloud.wait_status(volume, "error")

        assert row is not None and row.previous_status == "downloading"
        cloud.wait_idle()
        assert messages(cloud, volume) == [f"VOLUME_VOLUME_016_{event}"]
        assert volume.name in cloud.script.objects()

    def test_an_image_that_does_not_fit(self, cloud: Cloud) -> None:
        volume = cloud.existing("downloading", previous_status="available")
        cloud.cast("reimage", "3.20", volume=volume, image_meta=cloud.image(min_disk=5))
        cloud.wait_status(volume, "error")

        assert not calls(cloud, "copy_image_to_volume", volume)
