# SPDX-License-Identifier: Apache-2.0
"""Images into encrypted volumes: which bytes they get, and what is refused (spec/encryption)."""

from __future__ import annotations

from typing import Any

import pytest
from oslo_utils import units

from drivers.encryption.luks_format import LuksFormat
from drivers.interface.errors import ImageCopyFailure, ImageUnacceptable
from flows.errors import KeyManagerError
from flows.protocols.encryption_keys import Passphrase
from flows.volume import create_from_image
from tests.unit.flows.every_cast.encrypted import LUKS
from tests.unit.flows.world.world import World

LUKS2 = {**LUKS, "provider": "luks2"}
OF_IMAGE = {"cinder_encryption_key_id": "key-of-image"}


class Keys:
    """A key manager that knows one key."""

    error: Exception | None = None

    def passphrase(self, _request: Any, key_id: str) -> Passphrase:
        if self.error is not None:
            raise self.error
        return Passphrase({"key-of-volume": b"\x01\x02"}[key_id])


@pytest.fixture
def keys(world: World) -> Keys:
    world.keys = made = Keys()
    return made


def create(world: World, key: str | None, row: Any, properties: Any = None, **image: Any) -> Any:
    known = {"properties": properties or {}, **image}
    world.images.service.images["i1"] |= known
    world.driver.plan["clone_image"] = ({}, False)
    encryption = {"encryption": row} if row else {}
    world.db.types["t1"] = {"name": "secret", "extra_specs": {}, **encryption}
    volume = {"encryption_key_id": key, "volume_type_id": "t1"}
    world.add_volume(status="creating", made=False, **volume)
    args = {"volume_id": "v1", "image_id": "i1", "request_spec": {"image_id": "i1"}}
    args |= {"filter_properties": {"retry": {"num_attempts": 1}}, "allow_reschedule": True}
    return world.run(create_from_image.flow, **args)


@pytest.mark.parametrize(
    ("key", "row", "properties", "encrypted"),
    [
        pytest.param("key-of-volume", LUKS, {}, LuksFormat(1, "aes-xts-plain64", 256), id="luks"),
        pytest.param("key-of-volume", LUKS2, {}, LuksFormat(2, "aes-xts-plain64", 256), id="luks2"),
        pytest.param("key-of-volume", LUKS, OF_IMAGE, None, id="the image is encrypted"),
        pytest.param(
            "key-of-volume", {**LUKS, "control_location": "back-end"}, {}, None, id="by the storage"
        ),
        pytest.param(None, LUKS, {}, None, id="a volume without a key"),
        pytest.param(None, None, {}, None, id="plain"),
    ],
)
def test_which_bytes_a_volume_gets(
    world: World, keys: Keys, key: str | None, row: Any, properties: Any, encrypted: Any
) -> None:
    outcome = create(world, key, row, properties)
    assert outcome.failure is None, outcome.failure.exception_str

    assert world.volume()["status"] == "available"
    given = [(encrypted, b"0102")] if encrypted else []
    assert world.images.encrypted_volumes == given


@pytest.mark.parametrize(
    ("key", "row", "properties", "reason"),
    [
        pytest.param(None, None, OF_IMAGE, "is of a type that is not", id="no key"),
        pytest.param("key-of-volume", None, {}, "would be written plain", id="type without row"),
        pytest.param(None, None, {"os_encrypt_key_id": "k"}, "os_encrypt_key_id", id="foreign"),
    ],
)
def test_what_nothing_could_read_is_refused_before_the_volume_exists(
    world: World, keys: Keys, key: str | None, row: Any, properties: Any, reason: str
) -> None:
    outcome = create(world, key, row, properties)

    assert outcome.failure.check(ImageUnacceptable) and reason in outcome.failure.exception_str
    assert world.volume()["status"] == "error" and world.messaged() == [("005", "001")]
    assert world.driver.called("create_volume") == []


@pytest.mark.parametrize("properties", [OF_IMAGE, {"os_encrypt_key_id": "k"}])
def test_no_driver_clones_what_nothing_could_read(
    world: World, keys: Keys, properties: Any
) -> None:
    world.images.service.images["i1"]["properties"] = properties
    world.driver.plan["clone_image"] = ({}, True)
    world.add_volume(status="creating", made=False)
    args = {"volume_id": "v1", "image_id": "i1", "request_spec": {"image_id": "i1"}}
    args |= {"filter_properties": {"retry": {"num_attempts": 1}}, "allow_reschedule": True}
    outcome = world.run(create_from_image.flow, **args)

    assert outcome.failure.check(ImageUnacceptable)
    assert world.volume()["status"] == "error" and world.driver.called("clone_image") == []


@pytest.mark.parametrize(("disk", "fits"), [(units.Gi - 2 * units.Mi, True), (units.Gi, False)])
def test_a_raw_image_leaves_room_for_the_header(
    world: World, keys: Keys, disk: int, fits: bool
) -> None:
    outcome = create(world, "key-of-volume", LUKS, disk_format="raw", size=disk)

    assert (outcome.failure is None) is fits
    assert bool(world.driver.called("create_volume")) is fits


def test_a_format_that_cannot_be_written_here(world: World, keys: Keys) -> None:
    outcome = create(world, "key-of-volume", {**LUKS, "provider": "plain"})

    assert outcome.failure.check(ImageUnacceptable), outcome.failure.exception_str
    assert "luks and luks2 can be written here" in outcome.failure.exception_str
    assert world.volume()["status"] == "error" and world.images.encrypted_volumes == []


def test_the_header_takes_room_from_the_disk(world: World, keys: Keys) -> None:
    create(world, "key-of-volume", LUKS2)

    size = world.volume()["size"] * units.Gi
    assert world.images.looked_at == [("i1", size - 16 * units.Mi)]


def test_a_key_manager_that_refuses_ends_in_error(world: World, keys: Keys) -> None:
    keys.error = KeyManagerError("403")
    outcome = create(world, "key-of-volume", LUKS)

    assert outcome.failure.check(ImageCopyFailure)
    assert world.volume()["status"] == "error" and world.messaged() == [("005", "001")]
    assert world.images.encrypted_volumes == []
