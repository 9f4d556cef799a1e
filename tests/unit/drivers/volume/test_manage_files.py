# SPDX-License-Identifier: Apache-2.0
"""Which files the local driver takes over, and which it leaves alone."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Any

import pytest
from oslo_utils import units

from drivers.interface.errors import (
    ManageExistingInvalidReference,
    ManageExistingVolumeTypeMismatch,
    VolumeBackendAPIException,
)
from drivers.interface.records import Record
from tests.conformance.backend import listed
from tests.reading import part


def put(place: Any, name: str, size: int = units.Gi, begin: bytes = b"") -> dict[str, str]:
    with (place / name).open("wb") as file:
        file.write(begin)
        file.truncate(max(size, len(begin)))
    return {"source-name": name}


class TestSize:
    """Seed: round up to the next GiB; spec/interfaces §9 no. 17."""

    @pytest.mark.parametrize(
        ("size", "gib"),
        [
            (0, 1),
            (1, 1),
            (units.Gi - 1, 1),
            (units.Gi, 1),
            (units.Gi + 1, 2),
            (2 * units.Gi, 2),
            (5 * units.Gi + 1, 6),
        ],
    )
    def test_it_is_rounded_up_and_the_file_gets_it(self, backend, driver, place, size, gib):
        ref, volume = put(place, "lun", size), backend.volume()

        assert driver.manage_existing_get_size(volume, ref) == gib
        assert (place / "lun").stat().st_size == size
        driver.manage_existing(volume, ref)
        assert (place / volume.name).stat().st_size == gib * units.Gi

    def test_a_snapshot_larger_than_its_volume(self, backend, driver, place):
        snapshot = backend.snapshot(backend.created(1))

        with pytest.raises(ManageExistingInvalidReference, match="more than"):
            driver.manage_existing_snapshot_get_size(snapshot, put(place, "lun", units.Gi + 1))


class TestReference:
    def test_an_inode(self, backend, driver, place):
        put(place, "lun", 3 * units.Gi, b"data")
        ref, volume = {"source-id": str((place / "lun").stat().st_ino)}, backend.volume()

        assert driver.manage_existing_get_size(volume, ref) == 3
        driver.manage_existing(volume, ref)
        driver.manage_existing(volume, ref)
        assert part(place / volume.name, 4) == b"data"

    def test_an_inode_of_somebodys_volume(self, backend, driver, place):
        other = backend.created()
        ref = {"source-id": str((place / other.name).stat().st_ino)}

        with pytest.raises(ManageExistingInvalidReference, match="say so by source-name"):
            driver.manage_existing(backend.volume(), ref)

    def test_both_that_mean_one_file(self, backend, driver, place):
        ref, volume = put(place, "lun"), backend.volume()
        ref["source-id"] = str((place / "lun").stat().st_ino)

        driver.manage_existing(volume, ref)
        driver.manage_existing(volume, ref)

    def test_both_that_mean_two_files(self, backend, driver, place):
        ref = put(place, "lun")
        put(place, "other")
        ref["source-id"] = str((place / "other").stat().st_ino)

        with pytest.raises(ManageExistingInvalidReference, match="is other, not lun"):
            driver.manage_existing(backend.volume(), ref)

    @pytest.mark.parametrize(
        "name", ["/etc/passwd", "../volumes/lun", "a/b", ".new-1", ".", "", 7, None, ["lun"]]
    )
    def test_never_outside_the_directory(self, backend, driver, place, name):
        put(place, "lun")

        with pytest.raises(ManageExistingInvalidReference):
            driver.manage_existing(backend.volume(), {"source-name": name})
        assert os.listdir(place) == ["lun"]

    def test_not_through_a_link(self, backend, driver, place, tmp_path):
        put(tmp_path, "secret")
        (place / "lun").symlink_to(tmp_path / "secret")

        with pytest.raises(ManageExistingInvalidReference, match="link"):
            driver.manage_existing(backend.volume(), {"source-name": "lun"})

    def test_not_a_second_name_of_a_file(self, backend, driver, place, tmp_path):
        ref = put(place, "lun")
        os.link(place / "lun", tmp_path / "outside")

        with pytest.raises(ManageExistingInvalidReference, match="another name"):
            driver.manage_existing(backend.volume(), ref)

    @pytest.mark.parametrize("kind", ["directory", "pipe"])
    def test_only_a_file(self, backend, driver, place, kind):
        if kind == "pipe":
            os.mkfifo(place / "lun")
        else:
            (place / "lun").mkdir()

        with pytest.raises(ManageExistingInvalidReference, match="no regular file"):
            driver.manage_existing(backend.volume(), {"source-name": "lun"})

    def test_not_one_in_use(self, backend, driver, place):
        ref = put(place, "lun")
        with (place / "lun").open("r+b") as file:
            lock = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
            with pytest.raises(ManageExistingInvalidReference, match="in use"):
                driver.manage_existing(backend.volume(), ref)

    @pytest.mark.parametrize(
        ("begin", "kind"), [(b"QFI\xfb", "qcow2"), (b"KDMV", "vmdk"), (b"vhdxfile", "vhdx")]
    )
    def test_not_an_image_of_another_format(self, backend, driver, place, begin, kind):
        with pytest.raises(ManageExistingInvalidReference, match=kind):
            driver.manage_existing_get_size(backend.volume(), put(place, "lun", units.Gi, begin))

    def test_nothing_takes_another_volumes_place(self, backend, driver, place):
        volume = backend.created()

        with pytest.raises(VolumeBackendAPIException, match="already"):
            driver.manage_existing(volume, put(place, "lun"))


class TestType:
    @pytest.mark.parametrize("wanted", [None, "conformance", "<in> conform", "s== conformance"])
    def test_it_fits(self, backend, driver, place, wanted):
        specs = {} if wanted is None else {"volume_backend_name": wanted}
        kind = Record("volume_type", {"name": "gold", "extra_specs": specs})

        driver.manage_existing(backend.volume(volume_type=kind), put(place, "lun"))

    def test_it_is_one_of_another_backend(self, backend, driver, place):
        specs = {"volume_backend_name": "elsewhere"}
        kind = Record("volume_type", {"name": "gold", "extra_specs": specs})

        with pytest.raises(ManageExistingVolumeTypeMismatch, match="gold wants backend elsewhere"):
            driver.manage_existing(backend.volume(volume_type=kind), put(place, "lun"))
        assert os.listdir(place) == ["lun"]


class TestList:
    def test_it_tells_why_a_file_is_not_to_be_taken(self, driver, place):
        put(place, "lun")
        put(place, "image", begin=b"QFI\xfb")
        put(place, "linked")
        os.link(place / "linked", place / "twice")

        found = {e["reference"]["source-name"]: e for e in listed(driver, "volumes", [])}

        assert {name: e["safe_to_manage"] for name, e in found.items()} == {
            "lun": True,
            "image": False,
            "linked": False,
            "twice": False,
        }
        assert "qcow2" in found["image"]["reason_not_safe"]
        assert found["lun"]["extra_info"] == {"source-id": str((place / "lun").stat().st_ino)}
