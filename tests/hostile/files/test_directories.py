# SPDX-License-Identifier: Apache-2.0
"""Directories with wide modes, files in other formats, and peers that name any directory."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers import disk_formats, own_directories
from drivers.image.directory import DirectoryImages
from drivers.interface.errors import ImageCopyFailure, InvalidInput
from drivers.interface.listing import page
from drivers.interface.optional import FILES_MARKER
from drivers.volume.files import Directory
from drivers.volume.optional import manage_files, retype_migrate
from tests.backups import posix
from worker.backends.directory_mark import Mark, NotMounted


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_no_directory_is_for_everybody_to_write(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        own_directories.make(tmp_path / "a" / "b" / "c")
        posix(tmp_path / "backups")
        Directory(tmp_path / "volumes" / "v").create("volume-1", 1)
    finally:
        os.umask(before)

    assert mode(tmp_path / "a" / "b" / "c") == 0o700
    for path in tmp_path.rglob("*"):
        assert not mode(path) & 0o022 or path.name == "store", path
        assert not mode(path) & 0o002, path
    assert mode(tmp_path / "volumes" / "v" / "volume-1") == 0o600


@pytest.mark.parametrize("known", [0o777, 0o757, 0o702])
@pytest.mark.parametrize("strict", [False, True])
def test_one_that_everybody_can_write_is_restricted(
    tmp_path: Path, known: int, strict: bool
) -> None:
    tmp_path.chmod(known)
    own_directories.make(tmp_path, strict=strict)

    assert mode(tmp_path) == (0o700 if strict else known & ~0o002)


def test_a_sticky_one_and_one_with_fewer_permissions_stay(tmp_path: Path) -> None:
    for known in (0o1777, 0o755, 0o500):
        tmp_path.chmod(known)
        own_directories.make(tmp_path)
        assert mode(tmp_path) == known


@pytest.mark.parametrize(
    "head",
    [
        b"QFI\xfb",
        b"QED\0",
        b"KDMV",
        b"COWD",
        b"# Disk DescriptorFile",
        b"vhdxfile",
        b"conectix",
        b"WithoutFreeSpace",
        b"WithouFreSpacExt",
        bytes(0x40) + b"\x7f\x10\xda\xbe",
    ],
)
def test_each_format_of_images_is_refused_for_managed_files(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "lun"
    path.write_bytes(head + bytes(4096))
    with path.open("rb") as file:
        found = manage_files.other_format(file.fileno())

    assert found == disk_formats.recognised(head) != "raw"


def test_a_raw_disk_and_an_empty_file_are_raw(tmp_path: Path) -> None:
    for data in (b"", b"x", bytes(4096)):
        (tmp_path / "lun").write_bytes(data)
        with (tmp_path / "lun").open("rb") as file:
            assert manage_files.other_format(file.fileno()) is None


def peer(place: object, name: str = "h@b#pool") -> dict[str, Any]:
    where = f"LocalDriver:{socket.gethostname()}:{place}"
    return {"host": name, "capabilities": {"location_info": where}}


def mark(place: Path, content: object) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (place / FILES_MARKER).write_text(text)


class TestPeers:
    """A file is moved only into the directory of the backend that is named."""

    def test_its_own_directory(self, tmp_path: Path) -> None:
        mark(tmp_path, {"backend": "h@b", "id": "1"})

        assert retype_migrate._directory(peer(tmp_path)) == tmp_path

    @pytest.mark.parametrize(
        "content",
        [{"backend": "h@other"}, {}, [], "", "{", "[" * 3000, {"backend": ["h@b"]}, " " * 5000],
        ids=lambda content: str(content)[:20],
    )
    def test_a_directory_of_another_backend(self, tmp_path: Path, content: object) -> None:
        mark(tmp_path, content)

        assert retype_migrate._directory(peer(tmp_path)) is None

    @pytest.mark.parametrize("place", ["/", "/tmp", "/etc", "/root", "/proc/self/cwd", "/dev/shm"])
    def test_any_directory(self, place: str) -> None:
        assert retype_migrate._directory(peer(place)) is None

    def test_one_that_everybody_can_write(self, tmp_path: Path) -> None:
        mark(tmp_path, {"backend": "h@b", "id": "1"})
        tmp_path.chmod(0o777)

        assert retype_migrate._directory(peer(tmp_path)) is None

    def test_one_whose_marker_is_a_link_or_a_pipe(self, tmp_path: Path) -> None:
        real, place = tmp_path / "real", tmp_path / "place"
        for path in (real, place):
            path.mkdir()
        mark(real, {"backend": "h@b", "id": "1"})
        (place / FILES_MARKER).symlink_to(real / FILES_MARKER)
        assert retype_migrate._directory(peer(place)) is None
        (place / FILES_MARKER).unlink()
        os.mkfifo(place / FILES_MARKER)
        assert retype_migrate._directory(peer(place)) is None

    def test_the_volume_stays(self, tmp_path: Path) -> None:
        files = Directory(tmp_path / "volumes")
        files.create("volume-1", 512)
        driver: Any = retype_migrate.MovedFiles()
        driver._files = files
        (tmp_path / "elsewhere").mkdir()
        volume: Any = SimpleNamespace(name="volume-1", id="1")

        assert driver.migrate_volume(None, volume, peer(tmp_path / "elsewhere")) == (False, None)
        assert files.exists("volume-1")


def test_json_that_is_nested_deeply_is_refused_with_a_reason(tmp_path: Path) -> None:
    deep = "[" * 100_000
    with pytest.raises(InvalidInput, match="is no reference in JSON"):
        page([], deep, 1, 0, (), ())
    images = DirectoryImages(SimpleNamespace(image_directory=str(tmp_path)))
    image_id = "11111111-1111-1111-1111-111111111111"
    (tmp_path / f"{image_id}.json").write_text(deep)
    with pytest.raises(ImageCopyFailure, match="cannot be looked at"):
        images.show(None, image_id)
    mark(tmp_path, deep)
    with pytest.raises(NotMounted, match="cannot be read"):
        Mark.read(tmp_path / FILES_MARKER)
