# SPDX-License-Identifier: Apache-2.0
"""Signed images, and the metadata about signatures: spec/volume-rpc, create_volume."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import ImageSignatureVerificationException, InvalidSignatureImage
from flows.context import Options
from flows.image.facts import VERIFIED
from flows.volume import create_from_image, reimage
from tests.unit.flows.world.world import World

SIGNATURE = {
    "img_signature": "c2lnbmF0dXJl",
    "img_signature_hash_method": "SHA-256",
    "img_signature_key_type": "RSA-PSS",
    "img_signature_certificate_uuid": "125e6199-2de4-46e3-b091-8e2401ef0d63",
}
RETRY = {"retry": {"num_attempts": 1}}


class Check:
    """The check of a signature.

    :param is_right: whether the data has the signature.
    """

    def __init__(self, is_right: bool = True) -> None:
        self.is_right = is_right

    def require_right(self) -> None:
        if not self.is_right:
            raise ImageSignatureVerificationException("it is wrong")


@pytest.fixture
def verifying(world: World) -> World:
    world.options = Options(verify_signatures=True)
    return world


def sign(world: World, **properties: str) -> None:
    world.images.service.images["i1"]["properties"] = properties


def create(world: World) -> Any:
    world.add_volume(status="creating", made=False)
    args = {"volume_id": "v1", "image_id": "i1", "request_spec": {"image_id": "i1"}}
    args |= {"filter_properties": RETRY, "allow_reschedule": True}
    return world.run(create_from_image.flow, **args)


def overwrite(world: World) -> Any:
    world.add_volume(status="downloading", previous_status="available")
    args = {"volume_id": "v1", "image_meta": {"id": "i1"}, "snapshot_id": None}
    return world.run(reimage.flow, **args)


def kept(world: World) -> Any:
    return world.db.pairs.get(("image", "v1"), {}).get(VERIFIED)


@pytest.mark.parametrize("run", [create, overwrite])
def test_an_image_without_a_signature_is_not_verified(verifying: World, run: Any) -> None:
    assert run(verifying).state == "done"

    assert kept(verifying) == "False"


@pytest.mark.parametrize("run", [create, overwrite])
def test_a_tenant_does_not_say_that_an_image_was_verified(world: World, run: Any) -> None:
    sign(world, signature_verified="True")

    assert run(world).state == "done"

    assert kept(world) is None


@pytest.mark.parametrize("run", [create, overwrite])
def test_a_signed_image_is_used_where_signatures_do_not_matter(world: World, run: Any) -> None:
    sign(world, **SIGNATURE)

    assert run(world).state == "done"

    assert kept(world) is None


@pytest.mark.parametrize(
    ("properties", "error", "detail"),
    [
        (SIGNATURE, ImageSignatureVerificationException, "011"),
        ({"img_signature": "c2ln"}, InvalidSignatureImage, "001"),
        ({**SIGNATURE, "img_signature_key_type": None}, InvalidSignatureImage, "001"),
    ],
)
@pytest.mark.parametrize(("run", "action"), [(create, "005"), (overwrite, "016")])
def test_a_signature_that_cannot_be_verified_ends_in_error(
    verifying: World, properties: Any, error: type[Exception], detail: str, run: Any, action: str
) -> None:
    sign(verifying, **properties)
    verifying.images.check = ImageSignatureVerificationException("no certificate")

    outcome = run(verifying)

    assert outcome.failure.check(error)
    assert verifying.volume()["status"] == "error"
    assert verifying.messaged() == [(action, detail)]
    assert verifying.scheduler.calls == []
    assert verifying.driver.called("create_volume") == []
    assert verifying.driver.called("copy_image_to_volume") == []


def test_a_clone_by_the_storage_is_not_verified_as_in_cinder(verifying: World) -> None:
    sign(verifying, **SIGNATURE)
    verifying.driver.plan["clone_image"] = ({}, True)

    assert create(verifying).state == "done"

    assert kept(verifying) is None


@pytest.mark.parametrize("run", [create, overwrite])
def test_data_with_a_right_signature_is_verified(verifying: World, run: Any) -> None:
    sign(verifying, **SIGNATURE)
    verifying.images.check = Check()

    assert run(verifying).state == "done"

    assert kept(verifying) == "True"


@pytest.mark.parametrize(("run", "action"), [(create, "005"), (overwrite, "016")])
def test_data_with_a_wrong_signature_ends_in_error(verifying: World, run: Any, action: str) -> None:
    sign(verifying, **SIGNATURE)
    verifying.images.check = Check(is_right=False)

    outcome = run(verifying)

    assert outcome.failure.check(ImageSignatureVerificationException)
    assert (verifying.volume()["status"], kept(verifying)) == ("error", None)
    assert verifying.messaged() == [(action, "011")]
    assert verifying.scheduler.calls == []


@pytest.mark.parametrize(("is_right", "state"), [(True, "done"), (False, "failed")])
def test_a_driver_that_copies_images_reads_verified_data(
    verifying: World, is_right: bool, state: str
) -> None:
    sign(verifying, **SIGNATURE)
    verifying.images.check = check = Check(is_right)
    given: list[Any] = []
    verifying.driver.copy_image_to_volume = lambda *args: given.append(args[2])  # type: ignore[method-assign]

    assert create(verifying).state == state
    assert given == [(verifying.images.service, check)]
