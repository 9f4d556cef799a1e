# SPDX-License-Identifier: Apache-2.0
"""Data of images: formats in disguise, disks that grow, and data that does not end."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.disk_formats import recognised
from drivers.image import qemu_img
from drivers.image.image_transfer import ImageTransport
from drivers.interface.errors import ImageCopyFailure, ImageUnacceptable
from drivers.interface.pace import Pace
from tests.conformance.places import require_programs
from tests.hostile import memory
from tests.hostile.images.conftest import MIB, SIZE
from tests.reading import part

Fetch = Callable[..., None]

DESCRIPTORS = {
    "a comment": b"# Disk DescriptorFile\nversion=1\n",
    "another comment": b"# anything\nversion=1\n",
    "no comment": b"version=2\n",
    "spaces": b"  \nversion=3\n",
    "lines of Windows": b"# a\r\n \r\nversion=1\r\n",
}
"""Begins of VMDK descriptors, each of which QEMU follows to the files of their extents."""

EXTENT = b'CID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2048 FLAT "%s" 0\n'


def run(*arguments: Any) -> str:
    require_programs("qemu-img")
    command = ["qemu-img", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def qcow2(path: Path, disk: bytes, *options: str) -> Path:
    """Make an image of a disk."""
    path.with_suffix(".raw").write_bytes(disk)
    run("convert", "-f", "raw", "-O", "qcow2", *options, path.with_suffix(".raw"), path)
    return path


def patch(path: Path, at: int, data: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)
    return path


@pytest.mark.parametrize("begin", DESCRIPTORS.values(), ids=DESCRIPTORS)
def test_a_text_that_names_extents_is_no_raw_disk(
    fetch: Fetch, volume: Path, tmp_path: Path, begin: bytes
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"TOP SECRET".ljust(MIB, b"."))
    text = begin + EXTENT % os.fsencode(secret)
    (tmp_path / "guessed").write_bytes(text)
    assert "vmdk" in run("info", tmp_path / "guessed").lower()  # what a guess would do

    with pytest.raises(ImageUnacceptable, match="said to be raw, but it is vmdk"):
        fetch(text, "raw")
    assert b"SECRET" not in volume.read_bytes()


@pytest.mark.parametrize("disk", [b"", b"#", b"#!/bin/sh\nversion\n", b"# a\nb\nversion=1\n"])
def test_other_texts_are_raw_disks(disk: bytes) -> None:
    assert recognised(disk.ljust(1024, b"\0")) == "raw"


def test_a_raw_disk_that_is_also_of_a_format_behind_its_begin_is_copied_unread(
    fetch: Fetch, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = bytearray(MIB)
    disk[510:512] = b"\x55\xaa"
    disk[512:520] = b"EFI PART"
    disk[0x8001:0x8006] = b"CD001"
    disk[-512:-504] = b"conectix"  # the footer of a fixed VHD
    monkeypatch.setattr(qemu_img, "convert", lambda *_, **__: pytest.fail("it was converted"))

    fetch(bytes(disk), "raw")

    assert volume.read_bytes() == disk + bytes(SIZE - MIB)


@pytest.mark.parametrize("size", [SIZE + 1, 1 << 40, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("said", [None, 0, MIB])
def test_a_disk_larger_than_the_volume_is_refused_whatever_its_record_says(
    fetch: Fetch, volume: Path, tmp_path: Path, monkeypatch: Any, size: int, said: Any
) -> None:
    image = patch(qcow2(tmp_path / "i", b"x" * MIB), 24, struct.pack(">Q", size))
    monkeypatch.setattr(qemu_img, "convert", lambda *_, **__: pytest.fail("it was converted"))

    with pytest.raises(ImageUnacceptable, match=f"holds a disk of {size} bytes"):
        fetch(image, "qcow2", virtual_size=said)
    assert part(volume, 4) == b"old!"


def test_compressed_clusters_inflate_to_the_size_of_the_disk_and_not_further(
    fetch: Fetch, volume: Path, tmp_path: Path
) -> None:
    image = qcow2(tmp_path / "i", b"bomb" * (2 * SIZE // 4), "-c")
    assert image.stat().st_size < SIZE // 32
    patch(image, 24, struct.pack(">Q", MIB))  # its tables have clusters of 64 MiB

    fetch(image, "qcow2")

    assert volume.read_bytes() == b"bomb" * (MIB // 4) + bytes(SIZE - MIB)


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
@pytest.mark.parametrize("size", [None, SIZE])
def test_data_that_does_not_end_is_cut_off(
    transport: ImageTransport,
    volume: Path,
    tmp_path: Path,
    monkeypatch: Any,
    disk_format: str,
    size: int | None,
) -> None:
    begin = b"x"
    if disk_format == "qcow2":
        begin = qcow2(tmp_path / "i", b"x" * MIB).read_bytes()

    def endless() -> Iterator[bytes]:
        yield begin
        while True:
            yield os.urandom(MIB)

    monkeypatch.setattr(transport.service, "download", lambda *_: endless())
    image = {"id": "i1", "disk_format": disk_format, "size": size}
    with memory.traced() as peak:
        with volume.open("r+b", buffering=0) as file, pytest.raises(ImageUnacceptable) as caught:
            transport.fetch(None, image, file, SIZE, "v1", Pace())
        assert peak() < 32 * MIB

    assert "has more than" in str(caught.value)
    assert volume.stat().st_size == SIZE
    assert os.listdir(transport._directory) == [] if transport._directory.exists() else True


@pytest.mark.parametrize("length", [1, 3, 1023])
def test_a_service_that_sends_the_begin_in_pieces_hides_no_format_and_breaks_none(
    fetch: Fetch, transport: Any, volume: Path, tmp_path: Path, monkeypatch: Any, length: int
) -> None:
    data = qcow2(tmp_path / "i", b"disk" * (MIB // 4)).read_bytes()

    def pieces(*_: Any) -> Iterator[bytes]:
        yield from (data[at : at + length] for at in range(0, 3 * length, length))
        yield data[3 * length :]

    monkeypatch.setattr(transport.service, "download", pieces)
    with pytest.raises(ImageUnacceptable, match="said to be raw, but it is qcow2"):
        fetch(data, "raw")
    assert part(volume, 4) in (b"old!", bytes(4))
    fetch(data, "qcow2")
    assert part(volume, MIB) == b"disk" * (MIB // 4)


@pytest.mark.parametrize(
    "known",
    [
        {"os_hash_algo": "sha512", "os_hash_value": "0" * 128},
        {"os_hash_algo": "none", "os_hash_value": "0", "checksum": "0" * 32},
        {"os_hash_algo": None, "os_hash_value": None, "checksum": "0" * 32},
    ],
    ids=["strong", "unknown", "weak"],
)
@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_data_with_another_hash_is_not_interpreted(
    fetch: Fetch, tmp_path: Path, monkeypatch: Any, known: dict[str, Any], disk_format: str
) -> None:
    data = qcow2(tmp_path / "i", b"x" * MIB).read_bytes() if disk_format == "qcow2" else b"x" * MIB
    monkeypatch.setattr(qemu_img, "convert", lambda *_, **__: pytest.fail("it was converted"))

    with pytest.raises(ImageCopyFailure, match="was changed on its way"):
        fetch(data, disk_format, **known)
