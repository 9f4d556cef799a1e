# SPDX-License-Identifier: Apache-2.0
"""Transfers of images: their checks, their limits, and that no remains are left."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import blockio
from drivers.blockio import BlockFile
from drivers.disk_formats import recognised
from drivers.image import formats
from drivers.image import qemu_img as converter
from drivers.image.directory import DirectoryImages
from drivers.image.image_transfer import ImageTransport
from drivers.image.qemu_img import ConversionLimits
from drivers.image.sink import ImageSink
from drivers.interface.errors import (
    ImageConversionNotAllowed,
    ImageCopyFailure,
    ImageError,
    ImageNotFound,
    ImageTooBig,
    ImageUnacceptable,
)
from drivers.interface.pace import Pace
from tests.conformance.places import require_programs
from tests.handles import Handle, loop_device
from tests.length import examples
from tests.reading import part

MIB = 1024**2
SIZE = 32 * MIB
QUIET = Pace()


@pytest.fixture
def images(tmp_path: Path) -> DirectoryImages:
    return DirectoryImages(SimpleNamespace(image_directory=str(tmp_path / "images")))


@pytest.fixture
def transport(images: DirectoryImages, tmp_path: Path) -> ImageTransport:
    return ImageTransport(images, tmp_path / "aside", ConversionLimits())


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume that is full of data."""
    path = tmp_path / "volume"
    path.write_bytes(b"old!" * (SIZE // 4))
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk with holes."""
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.write(os.urandom(MIB))
        file.seek(20 * MIB)
        file.write(os.urandom(MIB + 7))
        file.truncate(24 * MIB)
    return path


def qemu_img(*arguments: Any) -> None:
    require_programs("qemu-img")
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


def qcow2(disk: Path, *options: str) -> Path:
    path = disk.with_suffix(".qcow2")
    qemu_img("convert", "-f", "raw", "-O", "qcow2", *options, disk, path)
    return path


def kept(images: DirectoryImages, path: Path, kind: str, **known: Any) -> Any:
    with path.open("rb") as file:
        return images.create(None, {"disk_format": kind, **known}, file)


def fetch(
    transport: ImageTransport, image: Any, volume: Path, pace: Pace = QUIET, size: int = SIZE
) -> None:
    with volume.open("r+b", buffering=0) as file:
        transport.fetch(None, image, file, size, "v1", pace)


def store(transport: ImageTransport, image: Any, volume: Path, pace: Pace = QUIET) -> None:
    with volume.open("rb", buffering=0) as file:
        transport.store(None, image, file, "v1", pace, {})


def left(transport: ImageTransport) -> list[str]:
    directory = transport._directory
    return os.listdir(directory) if directory.exists() else []


class TestFetch:
    @pytest.mark.parametrize("kind", ["raw", "qcow2", "qcow2 compressed"])
    def test_the_volume_has_the_image_and_nothing_else(
        self, images: Any, transport: Any, volume: Path, disk: Path, kind: str
    ) -> None:
        source = disk if kind == "raw" else qcow2(disk, *(["-c"] if "compressed" in kind else []))
        told: list[float] = []
        image = kept(images, source, kind.split()[0])
        fetch(transport, image, volume, Pace(told.append))

        data = disk.read_bytes()
        assert volume.read_bytes() == data + bytes(SIZE - len(data))
        assert volume.stat().st_blocks * 512 < 4 * MIB  # holes stay holes
        assert told == sorted(told) and 0.9 < told[-1] <= 1
        assert left(transport) == []

    @pytest.mark.parametrize("way", ["fetch", "store"])
    def test_another_format_is_refused_where_nothing_is_to_be_converted(
        self, images: Any, volume: Path, disk: Path, tmp_path: Path, way: str
    ) -> None:
        limits = ConversionLimits()
        transport = ImageTransport(images, tmp_path / "aside", limits, may_convert=False)
        image = kept(images, disk, "qcow2")
        before = volume.read_bytes()
        with pytest.raises(ImageConversionNotAllowed, match=r"format qcow2.*_conversion_disable"):
            (fetch if way == "fetch" else store)(transport, image, volume)
        assert volume.read_bytes() == before

        fetch(transport, kept(images, disk, "raw"), volume)
        assert volume.read_bytes().startswith(disk.read_bytes())

    def test_what_an_interrupted_try_left_is_replaced(
        self, images: Any, transport: Any, volume: Path, disk: Path
    ) -> None:
        transport._directory.mkdir()
        (transport._directory / "image-v1").write_bytes(b"half")
        image = kept(images, qcow2(disk), "qcow2")
        fetch(transport, image, volume)

        assert left(transport) == []

    @pytest.mark.parametrize("kind", ["raw", "qcow2"])
    def test_it_ends_when_it_is_to_end(
        self, images: Any, transport: Any, volume: Path, disk: Path, kind: str
    ) -> None:
        def stop(fraction: float) -> None:
            if fraction > 0.6:
                raise InterruptedError("enough")

        source = disk if kind == "raw" else qcow2(disk)
        with pytest.raises(ImageCopyFailure, match="enough"):
            fetch(transport, kept(images, source, kind), volume, Pace(stop))
        assert left(transport) == []

    @pytest.mark.parametrize(
        ("known", "error"),
        [
            ({"checksum": "0" * 32, "os_hash_value": None}, "md5"),
            ({"os_hash_value": "0" * 128}, "sha512"),
            ({"size": 24 * MIB + 1}, "not 25165825"),
            ({"size": 24 * MIB - 1}, "more than"),
        ],
    )
    def test_data_that_is_not_what_it_should_be(
        self, images: Any, transport: Any, volume: Path, disk: Path, known: Any, error: str
    ) -> None:
        image = {**kept(images, disk, "raw"), **known}

        with pytest.raises(ImageError, match=error):
            fetch(transport, image, volume)

    def test_a_service_that_knows_no_hash_and_no_size(
        self, images: Any, transport: Any, volume: Path, disk: Path
    ) -> None:
        nothing = {"size": None, "checksum": None, "os_hash_value": None}
        image = {**kept(images, disk, "raw"), **nothing}
        fetch(transport, image, volume)

        assert part(volume, 24 * MIB) == disk.read_bytes()

    def test_an_image_larger_than_the_volume(
        self, images: Any, transport: Any, volume: Path, disk: Path
    ) -> None:
        image = {**kept(images, disk, "raw"), "size": None}

        with pytest.raises(ImageUnacceptable, match="more than"):
            fetch(transport, image, volume, size=8 * MIB)

    def test_an_endless_image_whose_size_nobody_knows(
        self, transport: Any, volume: Path, monkeypatch: Any
    ) -> None:
        def endless() -> Any:
            yield struct.pack(">4sI12xI", b"QFI\xfb", 2, 16) + bytes(MIB)
            while True:
                yield bytes(MIB)

        monkeypatch.setattr(transport.service, "download", lambda *_: endless())
        with pytest.raises(ImageUnacceptable, match="more than"):
            fetch(transport, {"id": "i1", "disk_format": "qcow2"}, volume)
        assert left(transport) == []

    def test_no_room_to_convert(
        self, images: Any, transport: Any, volume: Path, disk: Path, monkeypatch: Any
    ) -> None:
        image = kept(images, qcow2(disk), "qcow2")
        full = SimpleNamespace(f_bavail=1, f_frsize=4096)
        monkeypatch.setattr(os, "statvfs", lambda _path: full)

        with pytest.raises(ImageTooBig, match="needs"):
            fetch(transport, image, volume)
        assert part(volume, 4) == b"old!"


def _backing(path: Path, secret: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", path)


def _data_file(path: Path, secret: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={secret},data_file_raw=on", path, "8M")


def _encrypted(path: Path, secret: Path) -> None:
    qemu_img("create", "-f", "qcow2", path, "1M")
    _patch(path, 32, struct.pack(">I", 1))


def _huge(path: Path, secret: Path) -> None:
    qemu_img("create", "-f", "qcow2", path, "10T")


def _odd_version(path: Path, secret: Path) -> None:
    qemu_img("create", "-f", "qcow2", path, "1M")
    _patch(path, 4, struct.pack(">I", 9))


def _unknown_feature(path: Path, secret: Path) -> None:
    qemu_img("create", "-f", "qcow2", path, "1M")
    _patch(path, 72, struct.pack(">Q", 1 << 40))


def _endless_table(path: Path, secret: Path) -> None:
    qemu_img("create", "-f", "qcow2", path, "1M")
    _patch(path, 36, struct.pack(">I", 0xFFFFFFFF))


def _cut_off(path: Path, secret: Path) -> None:
    path.write_bytes(b"QFI\xfb\0\0\0\3")


def _crooked_table(path: Path, secret: Path) -> None:
    """Only qemu-img itself finds that one out."""
    qemu_img("create", "-f", "qcow2", path, "1M")
    _patch(path, 40, struct.pack(">Q", 12345))


def _patch(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


HOSTILE = [
    _backing,
    _data_file,
    _encrypted,
    _huge,
    _odd_version,
    _unknown_feature,
    _endless_table,
    _cut_off,
    _crooked_table,
]


class TestHostile:
    """An image must neither read the host's files nor exhaust it."""

    @pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
    def test_it_is_refused(
        self,
        images: Any,
        transport: Any,
        volume: Path,
        tmp_path: Path,
        make: Callable[[Path, Path], None],
    ) -> None:
        secret, evil = tmp_path / "secret", tmp_path / "evil"
        secret.write_bytes(b"TOP SECRET".ljust(MIB, b"."))
        make(evil, secret)
        image = kept(images, evil, "qcow2")

        with pytest.raises(ImageUnacceptable):
            fetch(transport, image, volume)
        assert b"SECRET" not in volume.read_bytes()
        assert left(transport) == []

    @pytest.mark.parametrize("make", [_backing, _data_file], ids=lambda make: make.__name__)
    def test_qemu_is_not_asked_about_files_of_the_host(
        self, images: Any, transport: Any, volume: Path, tmp_path: Path, monkeypatch: Any, make: Any
    ) -> None:
        secret, evil = tmp_path / "secret", tmp_path / "evil"
        secret.write_bytes(b"x" * MIB)
        make(evil, secret)
        image = kept(images, evil, "qcow2")
        monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("it was run"))

        with pytest.raises(ImageUnacceptable):
            fetch(transport, image, volume)

    @pytest.mark.parametrize(
        ("said", "begin"),
        [
            ("raw", b"QFI\xfb"),
            ("raw", b"KDMV"),
            ("raw", b"# Disk DescriptorFile"),
            ("raw", b"vhdxfile"),
            ("raw", bytes(0x40) + b"\x7f\x10\xda\xbe"),
            ("qcow2", b"MBR"),
            ("qcow2", b"KDMV"),
        ],
    )
    def test_it_is_not_what_it_is_said_to_be(
        self, images: Any, transport: Any, volume: Path, tmp_path: Path, said: str, begin: bytes
    ) -> None:
        lie = tmp_path / "lie"
        lie.write_bytes(begin.ljust(MIB, b"\0"))

        with pytest.raises(ImageUnacceptable, match="is said to be"):
            fetch(transport, kept(images, lie, said), volume)
        assert part(volume, 4) in (b"old!", bytes(4))

    def test_a_format_that_comes_in_tiny_pieces_is_recognised(
        self, transport: Any, volume: Path, monkeypatch: Any
    ) -> None:
        pieces = [bytes([byte]) for byte in b"QFI\xfb".ljust(2000, b"\0")]
        monkeypatch.setattr(transport.service, "download", lambda *_: iter(pieces))

        with pytest.raises(ImageUnacceptable, match="is said to be"):
            fetch(transport, {"id": "i1", "disk_format": "raw"}, volume)

    @pytest.mark.parametrize(
        "limits", [ConversionLimits(cpu=1), ConversionLimits(address_space=1)], ids=str
    )
    def test_the_conversion_is_bounded(
        self,
        images: Any,
        volume: Path,
        disk: Path,
        tmp_path: Path,
        limits: ConversionLimits,
        monkeypatch: Any,
    ) -> None:
        # A program that takes whatever it can get stands in for a broken qemu-img.
        greedy = tmp_path / "bin" / "qemu-img"
        greedy.parent.mkdir()
        loop = "while :; do :; done" if limits.cpu == 1 else 'x=x; while :; do x="$x$x"; done'
        image = kept(images, qcow2(disk), "qcow2")
        greedy.write_text(f"#!/bin/sh\n{loop}\n")
        greedy.chmod(0o755)
        monkeypatch.setenv("PATH", f"{greedy.parent}:{os.environ['PATH']}")

        with pytest.raises(ImageUnacceptable, match="image_conversion_"):
            fetch(ImageTransport(images, tmp_path / "aside", limits), image, volume)

    @pytest.mark.parametrize(
        ("disk", "seconds"), [(0, 60), (MIB, 60), (1024 * MIB, 60), (100 * 1024 * MIB, 6000)]
    )
    def test_a_large_disk_may_take_longer(self, disk: int, seconds: int) -> None:
        assert ConversionLimits(cpu=60).of(disk).cpu == seconds

    @pytest.mark.parametrize("way", ["fetch", "store"])
    def test_the_conversion_is_bounded_by_the_size_of_the_disk(
        self, images: Any, volume: Path, disk: Path, tmp_path: Path, monkeypatch: Any, way: str
    ) -> None:
        used: list[ConversionLimits] = []

        def convert(*arguments: Any, **_: Any) -> None:
            used.append(arguments[4])
            raise ImageUnacceptable("enough")

        image = kept(images, qcow2(disk), "qcow2")
        monkeypatch.setattr(converter, "convert", convert)
        monkeypatch.setattr(converter, "units", SimpleNamespace(Gi=MIB))
        transport = ImageTransport(images, tmp_path / "aside", ConversionLimits(cpu=2))
        with pytest.raises(ImageUnacceptable, match="enough"):
            if way == "fetch":
                fetch(transport, image, volume)
            else:
                store(transport, image, volume)

        length = disk.stat().st_size if way == "fetch" else SIZE
        assert [limits.cpu for limits in used] == [2 * (length // MIB)]

    def test_the_conversion_ends_with_us(
        self,
        images: Any,
        transport: Any,
        volume: Path,
        disk: Path,
        tmp_path: Path,
        monkeypatch: Any,
    ) -> None:
        slow = tmp_path / "bin" / "qemu-img"
        slow.parent.mkdir()
        image = kept(images, qcow2(disk), "qcow2")
        slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
        slow.chmod(0o755)
        monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
        running = threading.Event()

        def stop(fraction: float) -> None:
            if fraction >= 0.5 and (tmp_path / "pid").exists():
                running.set()
                raise InterruptedError("enough")

        with pytest.raises(ImageCopyFailure):
            fetch(transport, image, volume, Pace(stop))
        assert running.is_set()
        assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()

    @settings(max_examples=examples(200), deadline=None)
    @given(st.binary(max_size=300), st.integers(0, 104))
    def test_no_header_breaks_the_parser(self, noise: bytes, at: int) -> None:
        head = bytearray(struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 16, MIB, *[0] * 7))
        head += struct.pack(">QQQII", 0, 0, 0, 4, 104)
        head[at : at + len(noise)] = noise
        try:
            found = formats.disk_size(_Bytes(bytes(head)), "qcow2", "image")  # type: ignore[arg-type]
        except ImageUnacceptable:
            return
        assert found >= 0


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def seek(self, _at: int) -> int:
        return 0

    def read(self, length: int) -> bytes:
        return self._data[:length]


class TestStore:
    @pytest.mark.parametrize(
        ("kind", "program_name"),
        [
            ("raw", "raw"),
            ("qcow2", "qcow2"),
            ("vmdk", "vmdk"),
            ("vdi", "vdi"),
            ("vhd", "vpc"),
            ("vhdx", "vhdx"),
            ("ploop", "parallels"),
        ],
    )
    def test_the_image_has_the_volumes_data(
        self,
        images: Any,
        transport: Any,
        disk: Path,
        tmp_path: Path,
        kind: str,
        program_name: str,
    ) -> None:
        image = images.create(None, {"disk_format": kind})
        told: list[float] = []
        store(transport, image, disk, Pace(told.append))

        stored = tmp_path / "images" / image["id"]
        if kind != "raw":
            assert recognised(stored.read_bytes()[:1024]) == program_name
            qemu_img("convert", "-f", program_name, "-O", "raw", stored, tmp_path / "back")
            stored = tmp_path / "back"
        assert stored.read_bytes() == disk.read_bytes()
        assert told == sorted(told) and told[-1] == 1
        assert left(transport) == []

    def test_the_data_in_qcow2_is_compressed_on_demand(
        self, images: Any, disk: Path, tmp_path: Path
    ) -> None:
        disk.write_bytes(b"text that repeats itself, " * 100_000)
        sizes = []
        for compresses in (False, True):
            aside, image = tmp_path / "aside", images.create(None, {"disk_format": "qcow2"})
            store(
                ImageTransport(images, aside, ConversionLimits(), compresses=compresses),
                image,
                disk,
            )
            sizes.append((tmp_path / "images" / image["id"]).stat().st_size)

        assert sizes[1] < sizes[0] / 5

    @pytest.mark.parametrize("kind", ["raw", "qcow2"])
    def test_an_image_is_packed_as_a_whole(
        self, images: Any, transport: Any, disk: Path, tmp_path: Path, kind: str
    ) -> None:
        formats = {"disk_format": kind, "container_format": "compressed"}
        image = images.create(None, formats)
        store(transport, image, disk)

        stored = tmp_path / "unpacked"
        stored.write_bytes(gzip.decompress((tmp_path / "images" / image["id"]).read_bytes()))
        if kind == "qcow2":
            qemu_img("convert", "-f", "qcow2", "-O", "raw", stored, tmp_path / "back")
            stored = tmp_path / "back"
        assert stored.read_bytes() == disk.read_bytes()

    @pytest.mark.parametrize(
        "formats", [{"disk_format": "qed"}, {"disk_format": "raw", "container_format": "ova"}]
    )
    def test_a_format_that_is_not_written(
        self, images: Any, transport: Any, disk: Path, formats: dict[str, str]
    ) -> None:
        image = images.create(None, formats)

        with pytest.raises(ImageUnacceptable, match="qed|ova"):
            store(transport, image, disk)

    @pytest.mark.parametrize(
        ("writer", "field"), [("_write", "checksum"), ("_write_sparse", "os_hash_value")]
    )
    def test_an_image_that_did_not_arrive(
        self, images: Any, transport: Any, disk: Path, monkeypatch: Any, writer: str, field: str
    ) -> None:
        image = images.create(None, {"disk_format": "raw"})
        write = getattr(images, writer)
        if field == "checksum":
            disk.write_bytes(b"no holes" * 1024)

        def lose(image_id: str, data: Any) -> Any:
            return {**write(image_id, data), field: "0" * 32}

        monkeypatch.setattr(images, writer, lose)
        with pytest.raises(ImageCopyFailure, match="did not arrive"):
            store(transport, image, disk)


class TestDirectory:
    def test_what_is_known_of_an_image(self, images: Any, disk: Path) -> None:
        image = kept(images, disk, "raw", name="linux", properties={"os_distro": "debian"})

        assert images.show(None, image["id"]) == image
        assert image["checksum"] == hashlib.md5(disk.read_bytes()).hexdigest()
        assert (image["status"], image["size"]) == ("active", 24 * MIB)

    @pytest.mark.parametrize("image_id", ["../secret", "/etc/passwd", "", ".new-1", None, "a" * 70])
    def test_never_outside_the_directory(self, images: Any, tmp_path: Path, image_id: Any) -> None:
        (tmp_path / "secret.json").write_text('{"status": "active"}')

        for call in (images.show, images.download, images.delete):
            with pytest.raises(ImageNotFound):
                call(None, image_id)

    def test_an_image_without_data(self, images: Any) -> None:
        image = images.create(None, {"name": "later"})

        assert image["status"] == "queued"
        with pytest.raises(ImageNotFound, match="no data"):
            images.download(None, image["id"])

    def test_a_torn_note(self, images: Any, tmp_path: Path) -> None:
        image = images.create(None, {})
        (tmp_path / "images" / f"{image['id']}.json").write_text("{")

        with pytest.raises(ImageCopyFailure):
            images.show(None, image["id"])

    def test_an_upload_that_breaks_off_leaves_it_without_data(
        self, images: Any, tmp_path: Path
    ) -> None:
        def pieces() -> Any:
            yield b"half"
            raise OSError("gone")

        image = images.create(None, {})
        with pytest.raises(ImageCopyFailure):
            images.update(None, image["id"], {}, pieces())

        assert images.show(None, image["id"])["status"] == "queued"
        assert os.listdir(tmp_path / "images") == [f"{image['id']}.json"]

    def test_deleting_twice_is_success(self, images: Any, disk: Path) -> None:
        image = kept(images, disk, "raw")
        images.delete(None, image["id"])
        images.delete(None, image["id"])

        with pytest.raises(ImageNotFound):
            images.show(None, image["id"])


class TestOtherVolumes:
    """Volumes that are not files of the service's user: devices, handles, devices of root."""

    @pytest.fixture
    def device(self, volume: Path) -> Iterator[Path]:
        with loop_device(volume) as device:
            yield device

    @pytest.mark.parametrize("kind", ["raw", "qcow2"])
    @pytest.mark.parametrize("punches", [True, False])
    def test_a_device_has_the_image_and_nothing_else(
        self,
        images: Any,
        transport: Any,
        device: Path,
        volume: Path,
        disk: Path,
        kind: str,
        punches: bool,
        monkeypatch: Any,
    ) -> None:
        if not punches:
            monkeypatch.setattr(blockio, "punch_hole", lambda *_: False)
        image = kept(images, disk if kind == "raw" else qcow2(disk), kind)
        fetch(transport, image, device)

        data = disk.read_bytes()
        assert device.read_bytes() == data + bytes(SIZE - len(data))
        if punches:
            assert volume.stat().st_blocks * 512 < 4 * MIB

    @pytest.mark.parametrize("kind", ["raw", "qcow2"])
    def test_a_device_is_uploaded(
        self, images: Any, transport: Any, device: Path, tmp_path: Path, kind: str
    ) -> None:
        image = images.create(None, {"disk_format": kind})
        store(transport, image, device)

        assert raw_data(tmp_path / "images" / image["id"], kind) == device.read_bytes()

    @pytest.mark.parametrize("kind", ["raw", "qcow2"])
    def test_a_handle_has_the_image_and_nothing_else(
        self, images: Any, transport: Any, disk: Path, kind: str
    ) -> None:
        told: list[float] = []
        handle = Handle(b"old!" * (SIZE // 4))
        image = kept(images, disk if kind == "raw" else qcow2(disk), kind)
        transport.fetch(None, image, handle, SIZE, "v1", Pace(told.append))

        data = disk.read_bytes()
        assert handle.getvalue() == data + bytes(SIZE - len(data))
        assert handle.flushes
        assert told == sorted(told) and told[-1] <= 1
        assert left(transport) == []

    @pytest.mark.parametrize("kind", ["raw", "qcow2"])
    def test_a_handle_is_uploaded(
        self, images: Any, transport: Any, disk: Path, tmp_path: Path, kind: str
    ) -> None:
        told: list[float] = []
        image = images.create(None, {"disk_format": kind})
        transport.store(None, image, Handle(disk.read_bytes()), "v1", Pace(told.append), {})

        assert raw_data(tmp_path / "images" / image["id"], kind) == disk.read_bytes()
        assert told == sorted(told) and told[-1] == 1
        assert left(transport) == []

    def test_a_path_that_only_root_can_open_is_not_given_to_qemu(
        self, images: Any, transport: Any, volume: Path, disk: Path, monkeypatch: Any
    ) -> None:
        access = os.access
        monkeypatch.setattr(
            os, "access", lambda n, *m, **k: n != str(volume) and access(n, *m, **k)
        )
        given: list[Path] = []
        convert = converter.convert

        def watched(source: Path, *arguments: Any, **options: Any) -> None:
            given.extend((source, arguments[1]))
            convert(source, *arguments, **options)

        monkeypatch.setattr(converter, "convert", watched)
        fetch(transport, kept(images, qcow2(disk), "qcow2"), volume)
        store(transport, images.create(None, {"disk_format": "qcow2"}), volume)

        data = disk.read_bytes()
        assert volume.read_bytes() == data + bytes(SIZE - len(data))
        assert len(given) == 4 and volume not in given

    def test_no_room_for_the_disk_of_an_image(
        self, images: Any, transport: Any, disk: Path, monkeypatch: Any
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise ImageUnacceptable(f"qemu-img: error while writing: {os.strerror(errno.ENOSPC)}")

        monkeypatch.setattr(converter, "convert", full)
        with pytest.raises(ImageTooBig, match="no room in"):
            image = kept(images, qcow2(disk), "qcow2")
            transport.fetch(None, image, Handle(bytes(SIZE)), SIZE, "v1", QUIET)
        assert left(transport) == []

    def test_files_of_an_interrupted_try_are_removed(self, transport: Any) -> None:
        transport._directory.mkdir()
        for name in ("image-v1", "image-v1.raw", "image-v2"):
            (transport._directory / name).write_bytes(b"half")
        transport.clear("v1")

        assert left(transport) == ["image-v2"]


def raw_data(path: Path, kind: str) -> bytes:
    if kind == "qcow2":
        qemu_img("convert", "-f", "qcow2", "-O", "raw", path, path.with_suffix(".back"))
        path = path.with_suffix(".back")
    return path.read_bytes()


class TestSink:
    def test_zeros_take_no_space(self, volume: Path) -> None:
        with volume.open("r+b", buffering=0) as file:
            sink = ImageSink(BlockFile(file), SIZE)
            sink.write(bytes(MIB) + b"x" + bytes(MIB))
            sink.finish(QUIET)

        assert volume.read_bytes() == bytes(MIB) + b"x" + bytes(SIZE - MIB - 1)
        assert volume.stat().st_blocks * 512 <= 128 * 1024

    def test_where_holes_cannot_be_made_zeros_are_written(
        self, volume: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(blockio, "punch_hole", lambda *_: False)
        with volume.open("r+b", buffering=0) as file:
            sink = ImageSink(BlockFile(file), SIZE)
            sink.write(b"new")
            sink.finish(QUIET)

        assert volume.read_bytes() == b"new" + bytes(SIZE - 3)

    def test_more_than_fits(self, volume: Path) -> None:
        with volume.open("r+b", buffering=0) as file:
            sink = ImageSink(BlockFile(file), 4)
            with pytest.raises(OSError, match="space"):
                sink.write(b"12345")
