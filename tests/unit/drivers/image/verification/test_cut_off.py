# SPDX-License-Identifier: Apache-2.0
"""Images whose end is missing, where QEMU would read zeros."""

from __future__ import annotations

import io
import random
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drivers.image import formats
from drivers.image.headers import fields
from drivers.interface.errors import ImageUnacceptable
from tests.unit.drivers.image.disk_images import DISK, MIB, SIZE, Place, with_footer

_CUT = {
    "qcow2": ("qcow2", "qcow2", ""),
    "qcow2 of version 2": ("qcow2", "qcow2", "compat=0.10"),
    "qcow2 with small clusters": ("qcow2", "qcow2", "cluster_size=512"),
    "qcow2 with subclusters": ("qcow2", "qcow2", "extended_l2=on,cluster_size=64k"),
    "qcow2 with all clusters": ("qcow2", "qcow2", "preallocation=metadata"),
    "vdi": ("vdi", "vdi", ""),
    "static vdi": ("vdi", "vdi", "static=on"),
    "vmdk": ("vmdk", "vmdk", "subformat=monolithicSparse"),
    "vmdk stream": ("vmdk", "vmdk", "subformat=streamOptimized"),
    "ploop": ("ploop", "parallels", ""),
    "ploop with small clusters": ("ploop", "parallels", "cluster_size=64k"),
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("name", _CUT)
def test_an_image_that_is_cut_off_is_refused(place: Place, name: str) -> None:
    declared, program_name, options = _CUT[name]
    disk = random.Random(name).randbytes(4 * MIB)
    image = place.converted(program_name, options, disk)

    assert place.fetch(image, declared)[: len(disk)] == disk
    place.volume.write_bytes(b"old!" * (SIZE // 4))
    for cut in (len(image) // 2, 2 * MIB + 1):
        with pytest.raises(ImageUnacceptable, match="cut off"):
            place.fetch(image[:-cut], declared)
    assert place.volume.read_bytes() == b"old!" * (SIZE // 4)


@pytest.mark.parametrize("cut", [range(2 * MIB, 3 * MIB), range(MIB, 4 * MIB)])
def test_a_vmdk_with_a_footer_that_lacks_a_part(place: Place, cut: range) -> None:
    disk = random.Random(1).randbytes(4 * MIB)
    image = with_footer(place.converted("vmdk", "subformat=streamOptimized", disk))

    formats.require_whole(io.BytesIO(image), "vmdk", "image i1")
    with pytest.raises(ImageUnacceptable, match="cut off"):
        part = image[: cut.start] + image[cut.stop :]
        formats.require_whole(io.BytesIO(part), "vmdk", "image i1")


def test_a_compressed_cluster_that_is_cut_off(place: Place) -> None:
    place.written("qcow2")
    command = ["qemu-img", "convert", "-c", "-O", "qcow2", place.path / "source"]
    subprocess.run([*command, place.path / "packed"], check=True)
    image = (place.path / "packed").read_bytes()

    formats.require_whole(io.BytesIO(image), "qcow2", "image i1")
    with pytest.raises(ImageUnacceptable, match="it has no byte"):
        formats.require_whole(io.BytesIO(image[: 5 * 65536]), "qcow2", "image i1")


def test_no_more_entries_are_read_than_the_disk_has_clusters(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = bytearray(place.converted("qcow2", "cluster_size=512"))
    table, entries = len(image), 4096
    second = struct.pack(">Q", table + 8 * entries)
    image[36:48] = struct.pack(">IQ", entries, table)
    image += second * entries + bytes(512)
    reads: list[int] = []
    read = fields.read

    def noted(*args: Any) -> bytes:
        reads.append(args[2])
        return read(*args)

    monkeypatch.setattr(fields, "read", noted)
    formats.require_whole(io.BytesIO(image), "qcow2", "image i1")

    assert sum(reads) <= 2 * len(DISK) // 512 * 8
