# SPDX-License-Identifier: Apache-2.0
"""Images of volumes, through Cinder's API and Glance's."""

from __future__ import annotations

import hashlib

from tests.cinder.api.user import User, wait
from tests.cinder.cloud import Cloud
from tests.reading import part


def test_a_volume_becomes_one_and_comes_back(cloud: Cloud, user: User) -> None:
    volume = user.volume()
    cloud.scribble(volume)
    data = cloud.data(volume)
    _response, answer = user.api.volumes.upload_to_image(
        volume, False, "kept", "bare", "qcow2", "private", False
    )
    image = answer["os-volume_upload_image"]["image_id"]
    wait(lambda: cloud.images.get_image(image).status == "active", lambda: "it is not active")
    user.wait(user.api.volumes, volume, "available")

    again = user.volume(imageRef=image)
    assert cloud.data(again) == data
    assert user.api.volumes.get(again.id).volume_image_metadata["signature_verified"] == "False"


def test_a_part_of_a_signature_is_refused(cloud: Cloud, user: User) -> None:
    image, _data = cloud.image(img_signature="c2lnbmF0dXJl")
    volume = user.volume(imageRef=image, wanted="error")

    user.deleted(user.api.volumes, volume)
    user.wait_usage({})


def test_a_volume_gets_another(cloud: Cloud, user: User) -> None:
    first, _data = cloud.image()
    other, data = cloud.image()
    volume = user.volume(imageRef=first)
    user.api.volumes.reimage(volume, other)
    volume = user.wait_for(
        user.api.volumes,
        volume,
        lambda v: v.status == "available" and v.volume_image_metadata["image_id"] == other,
    )

    assert hashlib.sha256(part(cloud.file(volume), len(data))).digest() == (
        hashlib.sha256(data).digest()
    )


def test_one_whose_data_was_changed(cloud: Cloud, user: User) -> None:
    image, data = cloud.image()
    (cloud.control.kept_images / image).write_bytes(b"DATA" + data[4:])
    volume = user.volume(imageRef=image, wanted="error")

    assert user.told(volume)
    user.deleted(user.api.volumes, volume)
    user.wait_usage({})
    assert not cloud.left(volume)
