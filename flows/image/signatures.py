# SPDX-License-Identifier: Apache-2.0
"""Signatures of images, and the metadata about them that a volume gets.

The data of a signed image is compared with its signature while it is copied. A volume that keeps
such an image is not cloned, and one of the cache only if its own copy was verified.

Source: spec/volume-rpc, create_volume, the kind *image*.
"""

from __future__ import annotations

from typing import Any

from drivers.interface.errors import InvalidSignatureImage
from drivers.interface.image import Image, SignatureCheck
from flows.context import ImageContext
from flows.image.facts import VERIFIED

_PROPERTIES = (
    "img_signature",
    "img_signature_hash_method",
    "img_signature_key_type",
    "img_signature_certificate_uuid",
)


def is_signed(ctx: ImageContext, image: Image) -> bool:
    """Return whether the data of an image has to be compared with a signature.

    :raises InvalidSignatureImage: a part of the signature is missing.
    """
    properties: Any = image.get("properties") or {}
    missing = [name for name in _PROPERTIES if properties.get(name) is None]
    if not ctx.options.verify_signatures or len(missing) == len(_PROPERTIES):
        return False
    if missing:
        text = f"the signature of image {image['id']} is incomplete: it has no {missing[0]}"
        raise InvalidSignatureImage(text)
    return True


def check(ctx: ImageContext, image: Image) -> SignatureCheck | None:
    """Return the check of an image's signature, with its certificate; None for none.

    :raises InvalidSignatureImage: a part of the signature is missing.
    :raises ImageSignatureVerificationException: it cannot be verified.
    """
    return ctx.images.signature_check(image) if is_signed(ctx, image) else None


def metadata(ctx: ImageContext, checked: SignatureCheck | None) -> dict[str, str]:
    """Return the metadata of a volume to which the data of an image was copied.

    :param checked: the check of its signature, which has succeeded.
    """
    return {VERIFIED: str(checked is not None)} if ctx.options.verify_signatures else {}
