# SPDX-License-Identifier: Apache-2.0
"""Nothing old is readable in a volume that a driver wrote by itself, behind its data either.

The space is full of old data: that of a deleted volume, and that of an interrupted attempt
under the same name. Whether the driver reports ``new_volumes_are_zero`` does not matter: the
worker writes zeros only behind the data that it writes itself.
"""

from __future__ import annotations

import pytest

from ..backend import announces
from ..test_volumes import GIB

OLD = b"SECRET!\n" * 8192
DATA = b"data"
SIZE = 2
"""GiB of the new volume; the source has half of it."""

PLACES = [
    GIB // 2,
    GIB - len(OLD),
    GIB,
    3 * GIB // 2 + 4096,
    SIZE * GIB - len(OLD),
]
"""Offsets of old data, of which two are behind the end of the source."""


def fill(backend, volume, places=PLACES):
    with backend.device(volume) as device:
        for place in places:
            device.write(place, OLD)


def leave_old_data(backend, driver):
    """Fill a volume and delete it."""
    volume = backend.created(SIZE)
    fill(backend, volume)
    driver.delete_volume(volume)


def source_of(backend):
    source = backend.created(SIZE // 2)
    backend.write(source, 0, DATA)
    return source


def created(backend, driver, volume):
    driver.create_volume(volume)


def cloned(backend, driver, volume):
    driver.create_cloned_volume(volume, source_of(backend))


def cloned_from_snapshot(backend, driver, volume):
    snapshot = backend.snapped(source_of(backend))
    driver.create_volume_from_snapshot(volume, snapshot)


WRITERS = {
    "create_volume": created,
    "create_cloned_volume": cloned,
    "create_volume_from_snapshot": cloned_from_snapshot,
}


def require_no_old_data(backend, volume):
    with backend.device(volume) as device:
        for place in PLACES:
            assert device.read(place, len(OLD)) == bytes(len(OLD)), f"old data at {place}"


@pytest.mark.parametrize("method", WRITERS)
@pytest.mark.parametrize("is_repeated", [False, True], ids=["first attempt", "interrupted before"])
def test_a_new_volume_has_nothing_but_its_data(backend, driver, method, is_repeated):
    if method != "create_volume" and not announces(type(driver), method):
        pytest.skip(f"{type(driver).__name__} does not announce {method}")
    leave_old_data(backend, driver)
    volume = backend.volume(SIZE)
    if is_repeated:
        driver.create_volume(volume)
        fill(backend, volume)

    WRITERS[method](backend, driver, volume)

    require_no_old_data(backend, volume)


def test_space_that_is_added_has_nothing_old(backend, driver):
    leave_old_data(backend, driver)
    volume = backend.created(SIZE // 2)

    driver.extend_volume(volume, SIZE)

    require_no_old_data(backend, volume)


@pytest.mark.announced("revert_to_snapshot")
def test_a_reverted_volume_has_nothing_behind_the_data_of_the_snapshot(backend, driver):
    volume = source_of(backend)
    snapshot = backend.snapped(volume)
    driver.extend_volume(volume, SIZE)
    volume = volume.replace(size=SIZE)
    fill(backend, volume)

    driver.revert_to_snapshot(backend.context, volume, snapshot)

    require_no_old_data(backend, volume)
    assert backend.read(volume, 0, len(DATA)) == DATA
