# SPDX-License-Identifier: Apache-2.0
"""Snapshots and clones of one moment, changed extents, and data that others depend on."""

from __future__ import annotations

import struct

import pytest

from drivers.interface.errors import DriverError, SnapshotIsBusy
from drivers.interface.group import VolumeConsistencyGroupDriver
from drivers.interface.records import Record

from ..backend import announces
from ..interruption.interleave import interleaved
from ..interruption.points import sources, spread
from ..test_volumes import GIB

NUMBER = struct.Struct(">Q")
PLACES = (0, GIB // 2, GIB - 4096)
"""Each number is written to one place after the other."""


class Writer:
    """Writes one number after the other, to each place of each device."""

    def __init__(self, devices):
        self._places = [(device, place) for device in devices for place in PLACES]
        self._number = 0

    def write(self, times=3):
        for _ in range(times):
            self._number += 1
            for device, place in self._places:
                device.write(place, NUMBER.pack(self._number))


def of_one_moment(backend, copies):
    """Check that no place is older than the places behind it, nor newer by more than one."""
    found = []
    for copy in copies:
        with backend.device(copy) as device:
            found += [NUMBER.unpack(device.read(place, NUMBER.size))[0] for place in PLACES]
    assert all(0 <= found[0] - number <= 1 for number in found), found
    assert found == sorted(found, reverse=True), found


def snapshot_call(backend, volumes, snapshots):
    driver = backend.driver
    if len(volumes) == 1:
        return lambda: driver.create_snapshot(snapshots[0])
    whole = Record("cgsnapshot", {"id": snapshots[0].id, "consistencygroup_id": "group"})
    return lambda: driver.create_cgsnapshot(backend.context, whole, snapshots)


@pytest.mark.plain
@pytest.mark.calls
@pytest.mark.parametrize("members", [1, 2], ids=["snapshot", "group snapshot"])
def test_a_snapshot_is_of_one_moment(backend, driver, members):
    if members > 1 and not isinstance(driver, VolumeConsistencyGroupDriver):
        pytest.skip(f"{type(driver).__name__} is no VolumeConsistencyGroupDriver")
    volumes = [backend.created() for _ in range(members)]
    writer = Writer([backend.open(backend.connect(volume)) for volume in volumes])
    writer.write()
    places = sources(type(driver))
    count = interleaved(
        snapshot_call(backend, volumes, [backend.snapshot(one) for one in volumes]),
        writer.write,
        places,
        -1,
    )[1]
    for at in spread(count, max(4, backend.case.points)):
        snapshots = [backend.snapshot(volume) for volume in volumes]
        try:
            interleaved(snapshot_call(backend, volumes, snapshots), writer.write, places, at)
        except DriverError:
            continue  # it cannot now, and says so
        copies = [backend.volume() for _ in volumes]
        for copy, snapshot in zip(copies, snapshots, strict=True):
            driver.create_volume_from_snapshot(copy, snapshot)
        of_one_moment(backend, copies)


@pytest.mark.plain
@pytest.mark.calls
@pytest.mark.announced("create_cloned_volume")
def test_a_clone_is_of_one_moment(backend, driver):
    volume = backend.created()
    writer = Writer([backend.open(backend.connect(volume))])
    writer.write()
    places = sources(type(driver))
    for at in range(0, 60, max(1, 60 // backend.case.points)):
        copy = backend.volume()
        try:
            interleaved(
                lambda copy=copy: driver.create_cloned_volume(copy, volume),
                writer.write,
                places,
                at,
            )
        except DriverError:
            continue
        of_one_moment(backend, [copy])


def test_a_volume_outlives_the_snapshot_that_it_was_made_of(backend, driver):
    source, volume = backend.created(), backend.volume()
    backend.write(source, 4096, b"data")
    snapshot = backend.snapped(source)
    driver.create_volume_from_snapshot(volume, snapshot)

    try:
        driver.delete_snapshot(snapshot)
    except SnapshotIsBusy:
        assert backend.read(volume, 4096, 4) == b"data"
        driver.delete_volume(volume)
        driver.delete_snapshot(snapshot)
        return

    assert backend.read(volume, 4096, 4) == b"data"
    backend.write(volume, 4096, b"else")
    assert backend.read(source, 4096, 4) == b"data"


@pytest.mark.announced("revert_to_snapshot")
def test_a_revert_leaves_newer_and_older_snapshots(backend, driver):
    volume = backend.created()
    snapshots = []
    for number in range(3):
        backend.write(volume, 0, b"%d" % number)
        snapshots.append(backend.snapped(volume))

    try:
        driver.revert_to_snapshot(backend.context, volume, snapshots[1])
    except DriverError:  # not past newer ones: then nothing was changed
        assert backend.read(volume, 0, 1) == b"2"
    else:
        assert backend.read(volume, 0, 1) == b"1"

    for number, snapshot in enumerate(snapshots):
        copy = backend.volume()
        driver.create_volume_from_snapshot(copy, snapshot)
        assert backend.read(copy, 0, 1) == b"%d" % number


@pytest.mark.announced("revert_to_snapshot")
def test_a_revert_leaves_other_volumes(backend, driver):
    volume, other = backend.created(), backend.created()
    snapshot = backend.snapped(volume)
    backend.write(other, 0, b"kept")

    driver.revert_to_snapshot(backend.context, volume, snapshot)

    assert backend.read(other, 0, 4) == b"kept"


@pytest.mark.announced("changed_extents")
class TestChangedExtents:
    """Say which parts may differ: one too few costs data."""

    WRITTEN = (0, 4096 * 7, GIB // 2 + 512, GIB - 4096)

    def covered(self, extents, place, length):
        return extents is None or any(a <= place and place + length <= b for a, b in extents)

    def test_every_write_is_in_an_extent(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 4096, b"before")
        snapshot = backend.snapped(volume)
        for place in self.WRITTEN:
            backend.write(volume, place, b"later")

        extents = driver.changed_extents(volume, snapshot)

        assert all(self.covered(extents, place, 5) for place in self.WRITTEN), extents
        newer = backend.snapped(volume)
        between = driver.changed_extents(newer, snapshot)
        assert all(self.covered(between, place, 5) for place in self.WRITTEN), between

    def test_data_that_was_zeroed_is_in_an_extent(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 65536 * 3, b"before")
        snapshot = backend.snapped(volume)
        backend.write(volume, 65536 * 3, bytes(6))

        assert self.covered(driver.changed_extents(volume, snapshot), 65536 * 3, 6)

    def test_space_that_was_added_is_within_the_volume(self, backend, driver):
        volume = backend.created()
        snapshot = backend.snapped(volume)
        driver.extend_volume(volume, 2)
        backend.write(volume.replace(size=2), 2 * GIB - 4096, b"later")

        extents = driver.changed_extents(volume.replace(size=2), snapshot)

        assert self.covered(extents, 2 * GIB - 4096, 5), extents
        assert extents is None or all(end <= 2 * GIB for _, end in extents)

    def test_absent_snapshot_is_unknown_or_an_error(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"data")
        try:
            extents = driver.changed_extents(volume, backend.snapshot(volume))
        except DriverError:
            return

        assert self.covered(extents, 0, 4)


def test_identity_is_the_name_and_not_the_id(backend, driver):
    """A migrated volume has another row's name; the row of a copy has the same id."""
    if backend.is_cinders:
        pytest.skip("the adapter derives the name from the row")
    volume = backend.created()
    backend.write(volume, 0, b"data")
    snapshot = backend.snapped(volume)
    moved = backend.volume(name=volume.name, name_id=volume.id, _name_id=volume.id)
    known = backend.current(volume)
    columns = ("provider_location", "provider_id", "provider_auth")
    moved = backend.updated(moved, {name: known[name] for name in columns})

    assert backend.read(moved, 0, 4) == b"data"
    of_moved = backend.snapshot(moved, volume_name=volume.name)
    driver.create_snapshot(of_moved)
    copies = [backend.volume(), backend.volume()]
    driver.create_volume_from_snapshot(copies[0], of_moved)
    driver.create_volume_from_snapshot(copies[1], snapshot)
    assert [backend.read(copy, 0, 4) for copy in copies] == [b"data", b"data"]
    if announces(type(driver), "create_cloned_volume"):
        clone = backend.volume()
        driver.create_cloned_volume(clone, moved)
        assert backend.read(clone, 0, 4) == b"data"
    driver.extend_volume(moved, 2)
    assert backend.size(moved.replace(size=2)) == 2 * GIB
    for one in (of_moved, snapshot):
        driver.delete_snapshot(one)
    driver.delete_volume(moved)
    with pytest.raises(DriverError):
        driver.extend_volume(volume, 3)
