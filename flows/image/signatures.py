# SPDX-License-Identifier: Apache-2.0
"""Signatures of images, and the metadata about them that a volume gets.

This service reads no certificates, so it cannot verify a signature. An image that has one is
refused where signatures are to be verified: an unverified copy would look like a verified one.

Source: spec/volume-rpc, create_volume, the kind *image*.
"""

from __future__ import annotations

from drivers.interface.errors import ImageSignatureVerificationException, InvalidSignatureImage
from drivers.interface.image import Image
from flows.context import ImageContext
from flows.image.facts import VERIFIED

_PROPERTIES = (
    "img_signature",
    "img_signature_hash_method",
    "img_signature_key_type",
    "img_signature_certificate_uuid",
)


def metadata(ctx: ImageContext, image: Image) -> dict[str, str]:
    """Return the metadata of a volume to which the data of an image is copied.

    :raises InvalidSignatureImage: a part of the signature is missing.
    :raises ImageSignatureVerificationException: it cannot be verified.
    """
    if not ctx.options.verify_signatures:
        return {}
    properties = image.get("properties") or {}
    missing = [name for name in _PROPERTIES if properties.get(name) is None]
    if len(missing) == len(_PROPERTIES):
        return {VERIFIED: str(False)}
    if missing:
        text = f"the signature of image {image['id']} is incomplete: it has no {missing[0]}"
        raise InvalidSignatureImage(text)
    raise ImageSignatureVerificationException(
        f"image {image['id']} is signed, and this service verifies no signatures; with "
        "verify_glance_signatures = disabled it is used unverified"
    )
