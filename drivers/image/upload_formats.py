# SPDX-License-Identifier: Apache-2.0
"""Formats in which volumes are written into images, and the options of qemu-img for each.

The disk in the image is as large as the volume, to the byte: a VHD would be rounded to whole
cylinders otherwise. Each image is one file without a reference to another one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UploadFormat:
    """A format as qemu-img writes it.

    :param program_name: of the format, for qemu-img.
    :param options: of the format.
    :param compresses: whether its data can be compressed.
    """

    program_name: str
    options: tuple[str, ...] = ()
    compresses: bool = False


CONVERTED = {
    "qcow2": UploadFormat("qcow2", compresses=True),
    "vmdk": UploadFormat("vmdk", ("subformat=monolithicSparse",)),
    "vdi": UploadFormat("vdi"),
    "vhd": UploadFormat("vpc", ("subformat=dynamic", "force_size=on")),
    "vhdx": UploadFormat("vhdx", ("subformat=dynamic",)),
    "ploop": UploadFormat("parallels"),
}
"""Formats other than raw, by the names that Glance has for them."""

PACKED = "compressed"
"""Container format of an image whose data is packed by gzip as a whole."""

CONTAINERS = ("bare", PACKED, None)
