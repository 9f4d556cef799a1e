# SPDX-License-Identifier: Apache-2.0
"""The local driver: volumes that move to another directory of this host."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException, VolumeIsBusy
from drivers.interface.optional import FILES_MARKER
from drivers.volume.optional import retype_migrate


def host(place: object, node: str = socket.gethostname(), kind: str = "LocalDriver") -> Any:
    return {"host": "h@b#p", "capabilities": {"location_info": f"{kind}:{node}:{place}"}}


def marked(path: Path, backend: str = "h@b") -> Path:
    path.joinpath(FILES_MARKER).write_text(json.dumps({"backend": backend, "id": "1"}))
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other"
    path.mkdir()
    return marked(path)


def test_it_says_where_it_is(driver, place):
    told = driver.get_volume_stats()["location_info"]

    to = {"host": "h@b#p", "capabilities": {"location_info": told}}
    assert retype_migrate._directory(to) is None  # before the worker has marked it
    marked(place)
    assert retype_migrate._directory(to) == place.resolve()


def test_the_file_is_there_and_not_here(backend, driver, place, other):
    volume = backend.created()
    inode = (place / volume.name).stat().st_ino
    for _ in range(2):  # the second try finds it moved
        assert driver.migrate_volume(None, volume, host(other)) == (True, None)

    assert (other / volume.name).stat().st_ino == inode
    assert not (place / volume.name).exists()


def test_its_own_directory_is_as_good(backend, driver, place):
    volume = backend.created()
    marked(place)

    assert driver.migrate_volume(None, volume, host(place)) == (True, None)
    assert (place / volume.name).exists()


@pytest.mark.parametrize(
    "to",
    [
        {"host": "h@b#p"},
        {"host": "h@b#p", "capabilities": None},
        {"host": "h@b#p", "capabilities": {"location_info": 7}},
        host("/tmp", kind="OtherDriver"),
        host("/tmp", node="another-host"),
        host("relative"),
        host("/no/such/directory"),
        host("/proc"),
    ],
    ids=str,
)
def test_another_place_is_left_to_the_worker(backend, driver, place, to):
    volume = backend.created()
    assert driver.migrate_volume(None, volume, to) == (False, None)
    assert (place / volume.name).exists()


def test_another_file_system_is_left_to_the_worker(backend, driver, place, other, monkeypatch):
    volume = backend.created()

    def refuse(*_args, **_named):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", refuse)

    assert driver.migrate_volume(None, volume, host(other)) == (False, None)
    assert (place / volume.name).exists()


def test_one_with_snapshots_is_left_to_the_worker(backend, driver, place, other):
    volume = backend.created()
    backend.snapped(volume)

    assert driver.migrate_volume(None, volume, host(other)) == (False, None)
    assert (place / volume.name).exists()


def test_what_is_there_is_not_replaced(backend, driver, place, other):
    volume = backend.created()
    (other / volume.name).write_bytes(b"somebody's")
    with pytest.raises(VolumeBackendAPIException, match="already"):
        driver.migrate_volume(None, volume, host(other))

    assert (other / volume.name).read_bytes() == b"somebody's"
    assert (place / volume.name).exists()


def test_one_that_is_nowhere_is_an_error(backend, driver, other):
    with pytest.raises(VolumeBackendAPIException):
        driver.migrate_volume(None, backend.volume(), host(other))


def test_one_in_use_is_busy(backend, driver, place, other, monkeypatch):
    volume = backend.created()
    monkeypatch.setattr("drivers.volume.in_use.user_of", lambda _fd: "a loop device")
    with pytest.raises(VolumeIsBusy):
        driver.migrate_volume(None, volume, host(other))

    assert (place / volume.name).exists()


@pytest.mark.parametrize(("encryption", "done"), [({}, True), ({"cipher": [None, "aes"]}, False)])
def test_a_type_changes_nothing_but_the_encryption(backend, driver, encryption, done):
    diff = {"extra_specs": {"a": ["1", "2"]}, "qos_specs": {}, "encryption": encryption}

    assert driver.retype(None, backend.created(), None, diff, host("/tmp")) is done
