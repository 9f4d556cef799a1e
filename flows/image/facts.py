# SPDX-License-Identifier: Apache-2.0
"""Metadata of an image: whether it fits a volume, and the part that a volume keeps.

Source: spec/volume-rpc, create_volume, the kind *image*.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from oslo_utils import units

from drivers.interface.errors import (
    ImageConversionNotAllowed,
    ImageCopyFailure,
    ImageError,
    ImageUnacceptable,
)
from drivers.interface.image import Image, ImageStatus, Placement
from drivers.interface.records import Record
from flows.context import ImageContext
from flows.driver_calls import driver_contract
from flows.errors import FlowError, InvalidInput, RunInterrupted

FORMATS = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "ploop", "iso", "ami")
"""Formats of disks that are read, by Glance's names."""

_AS_IT_IS = ("raw", "iso")
"""Formats whose data is the disk."""

PACKED = "compressed"
"""Container format of an image that gzip packed as a whole."""

VERIFIED = "signature_verified"
"""Image metadata of a volume: whether the signature of its image was verified."""

_STORE = "image_service:store_id"
"""Extra spec of a volume type: the store of the images that are made of its volumes."""

_CONTAINERS = ("bare", PACKED, None)
_AMAZON = "ami"
_KEPT = ("container_format", "disk_format", "checksum", "min_disk", "min_ram", "size")


def show(ctx: ImageContext, image_id: str) -> Image:
    """Ask the image service.

    :raises ImageCopyFailure: it knows no such image, does not answer, or its answer is no
        record of this image.
    """
    with explained(f"image {image_id}"):
        image = ctx.images.service.show(ctx.request, image_id)
        _require_record(image, image_id)
        return image


def require_fits(ctx: ImageContext, image: Image, volume: Record) -> None:
    """Refuse an image that cannot become this volume, before anything is made.

    :raises ImageUnacceptable: names the mismatch.
    :raises ImageConversionNotAllowed: it would have to be converted, and images are not.
    """
    label = f"image {image['id']}"
    if image.get("status") != ImageStatus.ACTIVE:
        raise ImageUnacceptable(f"{label} is {image.get('status')}, not active")
    _require_format(ctx, image, label)
    for name, wanted in (
        ("size", _whole(image, "size")),
        ("virtual_size", _whole(image, "virtual_size")),
        ("min_disk", _whole(image, "min_disk") * units.Gi),
    ):
        if wanted > volume.size * units.Gi:
            text = f"needs {wanted} bytes ({name}), volume {volume.id} has {volume.size} GiB"
            raise ImageUnacceptable(f"{label} {text}")


def disk_gib(image: Image) -> int | None:
    """Return the size of the disk in an image, in GiB; None where the service does not know it."""
    return -(-(disk_size(image) or 0) // units.Gi) or None


def disk_size(image: Image) -> int | None:
    """Return the same in bytes."""
    if is_packed(image):
        return None
    size = _whole(image, "virtual_size")
    if not size and image.get("disk_format") in _AS_IT_IS:
        size = _whole(image, "size")
    return size or None


def is_packed(image: Image) -> bool:
    """Return whether the data of an image has to be unpacked."""
    return bool(image.get("container_format") == PACKED)


def require_image(image_meta: Any) -> Image:
    """Return the image of a request. :raises InvalidInput: it has no id."""
    if not isinstance(image_meta, Mapping) or not isinstance(image_meta.get("id"), str):
        raise InvalidInput(f"image_meta has no id: {image_meta!r:.80}")
    return image_meta


def glance_metadata(image: Image, verified: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata that a volume keeps of its image.

    Tenants choose the properties, which therefore replace none of the image's own fields, and say
    nothing about a verification.

    :param verified: the metadata about the signature.
    """
    own: dict[str, Any] = {VERIFIED: None, **verified}
    own |= {"image_id": image["id"], "image_name": image.get("name")}
    own |= {name: image.get(name) for name in _KEPT}
    kept = {**(image.get("properties") or {}), **own}
    return {str(name): str(value) for name, value in kept.items() if value is not None}


def placement(volume: Record) -> Placement:
    """Return where an image of a volume is to be kept, as far as its type and its image say."""
    kind, base = volume.volume_type, (volume.glance_metadata or {}).get("image_id")
    store = kind.extra_specs.get(_STORE) if kind else None
    known = {"store_id": store, "base_image_ref": base}
    return {name: str(value) for name, value in known.items() if value}


@contextlib.contextmanager
def explained(label: str) -> Iterator[None]:
    """Turn whatever is raised while an image's data is moved into an error of images.

    Our own refusals, and kinds of errors of images, stay as they are.

    :raises ImageCopyFailure: names the image and the reason.
    """
    try:
        yield
    except (ImageError, FlowError, RunInterrupted):
        raise
    except BaseException as error:
        text = f"{label}: {type(error).__name__}: {driver_contract.masked(error)}"
        raise ImageCopyFailure(text) from error


def _require_format(ctx: ImageContext, image: Image, label: str) -> None:
    found, container = image.get("disk_format"), image.get("container_format")
    if found not in FORMATS:
        text = f"has the format {found}, not {' or '.join(FORMATS)}: convert it with qemu-img"
        raise ImageUnacceptable(f"{label} {text}")
    if container not in _CONTAINERS and not found == container == _AMAZON:
        raise ImageUnacceptable(f"{label} is packed as {container}, not bare or {PACKED}")
    if is_packed(image) and not ctx.options.unpack_images:
        text = f"is packed as {PACKED}, and this service does not unpack images"
        raise ImageUnacceptable(f"{label} {text} (allow_compression_on_image_upload)")
    if found != _AS_IT_IS[0] and not ctx.options.convert_images:
        text = f"has the format {found}, the volume raw, and this service does not convert images"
        raise ImageConversionNotAllowed(f"{label} {text} (image_conversion_disable)")


def _require_record(image: Any, image_id: str) -> None:
    if not isinstance(image, Mapping) or image.get("id") != image_id:
        raise ImageCopyFailure(f"image {image_id}: the answer has no record of it: {image!r:.80}")
    if not isinstance(image.get("properties") or {}, Mapping):
        raise ImageCopyFailure(f"image {image_id}: its properties are no mapping")


def _whole(image: Image, name: str) -> int:
    """Return a size of an image; 0 where it is unknown."""
    value = image.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ImageUnacceptable(f"image {image['id']} has the {name} {value!r:.80}")
    return value
