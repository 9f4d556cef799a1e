# SPDX-License-Identifier: Apache-2.0
"""A volume shares the data of an image's file, and of no other file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_utils import units

from drivers.volume.local import LocalDriver
from tests.conformance.backend import Backend
from tests.conformance.places import xfs

IMAGE = {"id": "i1", "disk_format": "raw", "container_format": "bare"}
DATA = b"an image" * 1000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system that shares data between files."""
    with xfs(tmp_path_factory.mktemp("clone")) as place:
        (place / "images").mkdir()
        yield place


@pytest.fixture
def backend(shared: Path) -> Iterator[Backend]:
    options = {"local_path": str(shared / "volumes"), "local_images": str(shared / "images")}
    made = Backend(LocalDriver, options)
    yield made
    made.clear()


@pytest.fixture
def image(shared: Path) -> Path:
    path = shared / "images" / "i1"
    path.write_bytes(DATA)
    return path


def clone(backend: Backend, volume: Any, address: Any, **known: Any) -> Any:
    locations = address if isinstance(address, tuple) else (address, None)
    return backend.driver.clone_image(volume, locations, "i1", {**IMAGE, **known}, None)


def test_it_has_the_data_and_its_own_size(backend: Backend, image: Path) -> None:
    volume = backend.volume(2)

    assert clone(backend, volume, image.as_uri()) == (None, True)
    assert backend.size(volume) == 2 * units.Gi
    assert backend.read(volume, 0, len(DATA)) == DATA
    backend.write(volume, 0, b"other")
    assert image.read_bytes() == DATA


def test_one_of_several_addresses(backend: Backend, image: Path) -> None:
    further = [{"url": "http://glance/i1"}, {"url": image.as_uri(), "metadata": {}}]

    assert clone(backend, backend.volume(), (None, further)) == (None, True)


@pytest.mark.parametrize(
    "address",
    [
        None,
        "http://glance/i1",
        "file:///etc/hostname",
        "file://{images}/../secret",
        "file://{images}/gone",
        "file://{images}/.hidden",
        "file://{images}/link",
        "not an address",
        7,
    ],
)
def test_any_other_address_is_copied(backend: Backend, shared: Path, address: Any) -> None:
    (shared / "secret").write_bytes(b"secret")
    (shared / "images" / ".hidden").write_bytes(b"secret")
    link = shared / "images" / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(shared / "secret")
    if isinstance(address, str):
        address = address.replace("{images}", str(shared / "images"))
    volume = backend.volume()

    assert clone(backend, volume, address) == (None, False)
    assert volume.name not in os.listdir(shared / "volumes")


@pytest.mark.parametrize("known", [{"disk_format": "qcow2"}, {"container_format": "ova"}])
def test_what_is_no_raw_disk_is_copied(backend: Backend, image: Path, known: Any) -> None:
    assert clone(backend, backend.volume(), image.as_uri(), **known) == (None, False)


def test_what_looks_otherwise_is_copied(backend: Backend, image: Path) -> None:
    image.write_bytes(b"QFI\xfb" + DATA)

    assert clone(backend, backend.volume(), image.as_uri()) == (None, False)


def test_what_is_larger_is_copied(backend: Backend, image: Path) -> None:
    os.truncate(image, units.Gi + 1)

    assert clone(backend, backend.volume(), image.as_uri()) == (None, False)


def test_where_data_is_not_shared_it_is_copied(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "i1").write_bytes(DATA)
    options = {"local_path": str(tmp_path / "volumes"), "local_images": str(images)}
    made = Backend(LocalDriver, options)
    if made.driver._files.probe():
        pytest.skip("temporary files lie on a file system that shares data")

    assert clone(made, made.volume(), (images / "i1").as_uri()) == (None, False)
    assert os.listdir(tmp_path / "volumes") == []
