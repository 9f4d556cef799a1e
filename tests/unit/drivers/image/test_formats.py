# SPDX-License-Identifier: Apache-2.0
"""Images of each format become volumes; those that lie, or need other files, are refused."""

from __future__ import annotations

import io
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.blockio import BlockFile
from drivers.image import formats, qemu_img, unpacking
from drivers.interface.errors import ImageConversionNotAllowed, ImageTooBig, ImageUnacceptable
from drivers.interface.pace import Pace
from flows.image import facts
from tests.length import examples
from tests.unit.drivers.image.disk_images import (
    DISK,
    MIB,
    SIZE,
    WRITTEN,
    Place,
    packed,
    patched,
    vhd_summed,
    with_footer,
)

_TYPES = ("monolithicSparse", "streamOptimized")
WHOLE = DISK + bytes(SIZE - len(DISK))
_PARENT = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
_LEAVES = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def refused(place: Place, data: bytes, disk_format: str, match: str, **known: str) -> None:
    """Require that an image is refused before the volume is written, and leaves no file."""
    with pytest.raises(ImageUnacceptable, match=match):
        place.fetch(data, disk_format, **known)
    assert place.volume.read_bytes() == b"old!" * (SIZE // 4)
    assert not list((place.path / "aside").glob("*"))


def test_the_formats_of_flows_are_those_that_are_read() -> None:
    assert set(facts.FORMATS) == formats.READ
    assert facts.PACKED == formats.PACKED


class TestRead:
    @pytest.mark.parametrize("name", WRITTEN)
    def test_the_volume_has_the_disk_and_nothing_else(self, place: Place, name: str) -> None:
        assert place.fetch(place.written(name), WRITTEN[name][0]) == WHOLE
        assert not list((place.path / "aside").glob("*"))

    def test_a_vmdk_with_a_footer_as_vmware_exports_it(self, place: Place) -> None:
        image = with_footer(place.written("vmdk stream"))

        assert place.fetch(image, "vmdk") == WHOLE

    @pytest.mark.parametrize("disk_format", ["raw", "iso", "ami"])
    def test_raw_data_is_copied_unread(
        self, place: Place, disk_format: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(qemu_img, "convert", lambda *_, **__: pytest.fail("it was converted"))

        assert place.fetch(DISK, disk_format) == WHOLE

    def test_an_ami_may_be_qcow2(self, place: Place) -> None:
        assert place.fetch(place.written("qcow2"), "ami", container_format="ami") == WHOLE

    @pytest.mark.parametrize("name", ["raw", "qcow2"])
    def test_a_packed_image(self, place: Place, name: str) -> None:
        image = DISK if name == "raw" else place.written(name)

        assert place.fetch(packed(image), name, container_format="compressed") == WHOLE

    @pytest.mark.parametrize("disk_format", ["iso", "ami", "vmdk"])
    def test_nothing_is_converted_where_that_is_off(self, tmp_path: Path, disk_format: str) -> None:
        with pytest.raises(ImageConversionNotAllowed):
            Place(tmp_path, may_convert=False).fetch(DISK, disk_format)

    @pytest.mark.parametrize("has_path", [True, False])
    @pytest.mark.parametrize("size", [0, 511, MIB + 5])
    def test_no_old_data_behind_a_qcow2_that_ends_in_a_sector(
        self, place: Place, size: int, has_path: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not has_path:
            monkeypatch.setattr(BlockFile, "path", lambda *_, **__: None)
        for name in ("discard", "_punch"):
            monkeypatch.setattr(BlockFile, name, lambda *_: False)
        image = patched(24, struct.pack(">Q", size))(place.written("qcow2"))

        assert b"old!" not in place.fetch(image, "qcow2")


class TestDisguised:
    @pytest.mark.parametrize("said", ["raw", "iso", "ami", "vhd", "vhdx", "vdi", "ploop", "vmdk"])
    @pytest.mark.parametrize(
        "begin",
        [b"QED\0", b"COWD", b"KDMV", b"vhdxfile", b"QFI\xfb", b"WithoutFreeSpace", b"conectix"],
    )
    def test_another_format_than_declared(self, place: Place, said: str, begin: bytes) -> None:
        found = formats.recognised(begin)
        if found in formats._SHOWN[said]:
            return
        with pytest.raises(ImageUnacceptable, match=f"said to be {said}, but it is {found}"):
            formats.require(begin.ljust(1024, b"\0"), said, "image i1")

    @pytest.mark.parametrize("said", ["qed", "luks", "aki", "ari", "parallels", "vpc"])
    def test_an_unknown_name(self, said: str) -> None:
        with pytest.raises(ImageUnacceptable, match="said to be"):
            formats.require(bytes(1024), said, "image i1")

    def test_a_format_in_a_package_is_looked_at_too(self, place: Place) -> None:
        image = packed(place.written("qcow2"))

        refused(place, image, "raw", "but it is qcow2", container_format="compressed")

    def test_raw_data_that_is_said_to_be_a_vhd(self, place: Place) -> None:
        refused(place, DISK, "vhd", "said to be vhd, but it is raw")


def _text(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda image: image.replace(old, new.ljust(len(old)), 1)


_VMDK_LIES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a descriptor instead of data": (patched(12, bytes(8)), "no sense"),
    "a parent": (_text(b"# The Disk Data Base", b'parentFileNameHint="/x"'[:20]), "parent"),
    "the mark of a parent": (_text(b"parentCID=ffffffff", b"parentCID=00000001"), "parent"),
    "another type": (_text(b"monolithicSparse", b"monolithicFlat"), "vmdk_allowed_types"),
    "an extent that is flat": (_text(b"SPARSE", b"FLAT"), "other files"),
    "an extent elsewhere": (_text(b'SPARSE "t', b'SPARSE "/'), "other files"),
    "no descriptor": (patched(28, bytes(8)), "a part of a VMDK"),
    "a descriptor elsewhere": (patched(28, b"\2"), "a part of a VMDK"),
    "a descriptor that is no text": (patched(512, b"\xff"), "no text"),
    "a line of a script": (patched(512, b"rm -rf ~    \n"), "the line"),
    "a footer that is missing": (patched(56, b"\xff" * 8), "footer is missing"),
    "a huge disk": (patched(12, struct.pack("<Q", 1 << 40)), "holds a disk of"),
    "a huge grain": (patched(20, struct.pack("<Q", 1 << 40)), "no sense"),
    "its begin only": (lambda image: image[:60], "cut off"),
}


class TestVmdk:
    @pytest.mark.parametrize("lie", _VMDK_LIES)
    def test_a_lie_is_refused_before_qemu_reads_it(
        self, place: Place, lie: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        change, match = _VMDK_LIES[lie]
        image = place.written("vmdk")
        monkeypatch.setattr(qemu_img, "_run", lambda *_: pytest.fail("it was run"))

        assert change(image) != image
        refused(place, change(image), "vmdk", match)

    def test_a_footer_with_another_size(self, place: Place) -> None:
        image = with_footer(place.written("vmdk stream"))

        refused(place, patched(-1024 + 12, b"\7")(image), "vmdk", "no sense")

    @pytest.mark.parametrize("kind", ["monolithicFlat", "twoGbMaxExtentSparse"])
    def test_a_disk_in_several_files(self, place: Place, kind: str) -> None:
        image = place.converted("vmdk", f"subformat={kind}")

        refused(place, image, "vmdk", "other files")

    def test_no_type_is_allowed(self, tmp_path: Path) -> None:
        place = Place(tmp_path, vmdk_types=())

        refused(place, place.written("vmdk"), "vmdk", "not any")


class TestVhd:
    @pytest.mark.parametrize(
        ("at", "data", "match"),
        [
            (60, struct.pack(">I", 4), "differencing"),
            (60, struct.pack(">I", 2), "no sense"),
            (48, struct.pack(">Q", 1 << 40), "no sense"),
            (48, struct.pack(">Q", SIZE + 512), "no sense|holds a disk"),
            (16, struct.pack(">Q", 1 << 63), "no byte|cut off"),
        ],
    )
    def test_a_lie(self, place: Place, at: int, data: bytes, match: str) -> None:
        image = patched(at, data)(place.written("vhd"))

        refused(place, vhd_summed(image, 0), "vhd", match)

    def test_a_wrong_checksum(self, place: Place) -> None:
        refused(place, patched(20, b"x")(place.written("vhd")), "vhd", "no sense")

    def test_a_fixed_one_that_is_shorter_than_its_disk(self, place: Place) -> None:
        image = place.written("vhd fixed")

        refused(place, image[512:], "vhd", "no sense")


class TestOthers:
    def test_a_vhdx_with_a_parent(self, place: Place) -> None:
        image = place.written("vhdx")
        at = image.index(_LEAVES)
        refused(place, patched(at, _PARENT)(image), "vhdx", "no sense")
        flags = image.index(b"metadata") + struct.unpack_from("<I", image, at + 16)[0] + 4
        refused(place, patched(flags, b"\2")(image), "vhdx", "differencing")

    def test_a_vhdx_with_two_sizes(self, place: Place) -> None:
        image = place.written("vhdx")

        refused(place, patched(image.index(_LEAVES), _SIZE)(image), "vhdx", "no sense")

    @pytest.mark.parametrize("at", [0x1A8, 0x1B8])
    def test_a_vdi_with_a_parent_or_a_link(self, place: Place, at: int) -> None:
        refused(place, patched(at, b"x" * 16)(place.written("vdi")), "vdi", "another image")

    def test_a_ploop_image_larger_than_its_table(self, place: Place) -> None:
        image = patched(36, struct.pack("<Q", 1 << 30))(place.written("ploop"))

        refused(place, image, "ploop", "no sense")

    @pytest.mark.parametrize("name", WRITTEN)
    def test_a_disk_larger_than_the_volume(self, place: Place, name: str) -> None:
        image = place.written(name, DISK + bytes(SIZE - len(DISK)) + b"more" * 128)
        with pytest.raises(ImageUnacceptable, match="holds a disk of|has more than"):
            place.fetch(image, WRITTEN[name][0])

    @pytest.mark.parametrize("name", [*sorted(set(WRITTEN) - {"vhd fixed"}), "footer"])
    def test_a_disk_larger_than_the_volume_is_not_read_to_its_end(
        self, place: Place, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = "vmdk stream" if name == "footer" else name
        data = place.written(written, DISK + bytes(SIZE - len(DISK)) + b"more" * 128)
        data = (with_footer(data) if name == "footer" else data)[: 8 * MIB]
        end = 4 * MIB if name == "vhdx" else 64 * 1024

        def begin(*_: object) -> Iterator[bytes]:
            yield data[: end - 1]
            yield data[end - 1 : end]
            pytest.fail("it is read on")

        monkeypatch.setattr(place.images, "download", begin)
        image = {"id": "i1", "disk_format": WRITTEN[written][0]}
        file, match = place.volume.open("r+b", buffering=0), "holds a disk of"
        with file, pytest.raises(ImageUnacceptable, match=match):
            place.transport.fetch(None, image, file, SIZE, "v1", Pace())
        assert not list((place.path / "aside").glob("*"))

    @pytest.mark.parametrize("name", WRITTEN)
    def test_the_begin_of_an_image_shows_its_size_or_nothing(self, place: Place, name: str) -> None:
        data, program_name = place.written(name), WRITTEN[name][1]
        for length in (*range(1, 2000, 97), *range(2000, 70_000, 4099), 2 * MIB, len(data)):
            begin = io.BytesIO(data[:length])
            found = formats.begun_disk_size(begin, program_name, "image i1", _TYPES)
            assert found in (None, len(DISK))

    def test_a_disk_that_qemu_sees_in_another_size_is_refused(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = place.written("vdi")
        monkeypatch.setattr(formats, "disk_size", lambda *_: MIB)

        refused(place, image, "vdi", f"a disk of {len(DISK)} bytes, not {MIB}")

    @settings(max_examples=examples(40), deadline=None)
    @given(
        st.sampled_from(["vmdk", "vpc", "vhdx", "vdi", "parallels"]),
        st.binary(max_size=1200),
        st.integers(0, 600),
    )
    def test_no_header_breaks_a_parser(self, name: str, noise: bytes, at: int) -> None:
        begins = {"vmdk": b"KDMV\1\0\0\0", "vpc": b"conectix", "vhdx": b"vhdxfile"}
        head = begins.get(name, b"WithoutFreeSpace").ljust(at, b"\0") + noise
        data = head.ljust(192 * 1024, b"\0") + b"regi" + noise
        try:
            found = formats.disk_size(io.BytesIO(data), name, "image i1", ["monolithicSparse"])
        except ImageUnacceptable:
            return
        assert found > 0


class _Noted:
    """An object of zlib with another ``decompress``."""

    def __init__(self, member: Any, decompress: Callable[[bytes, int], bytes]) -> None:
        self._member, self.decompress = member, decompress

    def __getattr__(self, name: str) -> Any:
        return getattr(self._member, name)


class TestPacked:
    def test_several_members_and_zeros_behind_them(self, place: Place) -> None:
        image = packed(DISK[:MIB]) + packed(DISK[MIB:]) + bytes(1000)

        assert place.fetch(image, "raw", container_format="compressed") == WHOLE

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda data: DISK, "said to be packed by gzip"),
            (lambda data: data[:-4], "cut off"),
            (lambda data: data + b"more", "not packed by gzip"),
            (lambda data: patched(len(data) - 8, b"\0\0\0\0")(data), "not packed by gzip"),
            (lambda data: packed(bytes(SIZE + 1)), "unpacks to more than"),
        ],
    )
    def test_damaged_or_endless_data(
        self, place: Place, change: Callable[[bytes], bytes], match: str
    ) -> None:
        with pytest.raises(ImageUnacceptable, match=match):
            place.fetch(change(packed(DISK)), "raw", container_format="compressed")

    def test_zlib_copies_little_data_for_each_of_many_members(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rests: list[int] = []
        made = zlib.decompressobj

        def noted(window: int) -> Any:
            member = made(window)

            def decompress(data: bytes, longest: int) -> bytes:
                rests.append(len(data))
                return member.decompress(data, longest)

            return _Noted(member, decompress)

        monkeypatch.setattr(unpacking.zlib, "decompressobj", noted)
        data = packed(b"") * 10_000

        assert b"".join(unpacking.unpacked(iter([data]), "image i1", MIB)) == b""
        assert len(rests) >= 10_000
        assert max(rests) <= 64 * 1024

    def test_a_full_directory(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        image = packed(place.written("qcow2"))
        monkeypatch.setattr("drivers.image.image_transfer._append", full)
        with pytest.raises(ImageTooBig, match="no room"):
            place.fetch(image, "qcow2", container_format="compressed")
