# SPDX-License-Identifier: Apache-2.0
"""Snapshots and volumes made from them. Source: seeds, VolumeDriverCore; spec/interfaces §8."""

from __future__ import annotations

import pytest

from drivers.interface.errors import DriverError
from drivers.interface.records import Record

from .checks.contents import difference
from .test_volumes import GIB, LONG, is_update


class TestCreateSnapshot:
    """Keep the state of a volume as of now."""

    def test_answer_is_an_update_or_none(self, backend, driver):
        snapshot = backend.snapshot(backend.created())

        assert is_update(driver.create_snapshot(snapshot), snapshot)

    def test_volume_is_unchanged(self, backend):
        volume = backend.created()
        backend.write(volume, 0, b"data")

        backend.snapped(volume)

        assert backend.read(volume, 0, 4) == b"data"

    def test_snapshot_has_the_data_of_that_moment(self, backend, driver):
        volume, copy = backend.created(), backend.volume()
        backend.write(volume, 777, b"before")
        snapshot = backend.snapped(volume)
        backend.write(volume, 777, b"after.")

        driver.create_volume_from_snapshot(copy, snapshot)

        assert backend.read(copy, 777, 6) == b"before"

    def test_volume_in_use_can_be_snapped(self, backend, driver):
        volume, copy = backend.created(), backend.volume()
        device = backend.open(backend.connect(volume))
        device.write(0, b"in use")

        snapshot = backend.snapped(volume)

        driver.create_volume_from_snapshot(copy, snapshot)
        assert backend.read(copy, 0, 6) == b"in use"

    def test_what_an_interrupted_try_finished_is_left(self, backend, driver):
        volume, copy = backend.created(), backend.volume()
        backend.write(volume, 0, b"before")
        snapshot = backend.snapped(volume)
        backend.write(volume, 0, b"after.")

        driver.create_snapshot(snapshot)

        driver.create_volume_from_snapshot(copy, snapshot)
        assert backend.read(copy, 0, 6) == b"before"

    def test_absent_volume_is_an_error_of_the_driver(self, backend, driver):
        backend.open(backend.connect(backend.created()))

        with pytest.raises(DriverError):
            driver.create_snapshot(backend.snapshot(backend.volume()))


class TestDeleteSnapshot:
    """Remove a snapshot."""

    def test_absent_snapshot_is_success(self, backend, driver):
        snapshot = backend.snapshot(backend.created())
        driver.delete_snapshot(snapshot)
        driver.delete_snapshot(snapshot)

    def test_a_repeated_call_is_success(self, backend, driver):
        snapshot = backend.snapped(backend.created())
        driver.delete_snapshot(snapshot)
        driver.delete_snapshot(snapshot)

    def test_volume_and_other_snapshots_stay(self, backend, driver):
        volume, copy = backend.created(), backend.volume()
        backend.write(volume, 0, b"data")
        gone, kept = backend.snapped(volume), backend.snapped(volume)

        driver.delete_snapshot(gone)

        driver.create_volume_from_snapshot(copy, kept)
        assert backend.read(volume, 0, 4) == backend.read(copy, 0, 4) == b"data"

    def test_deleted_snapshot_is_gone(self, backend, driver):
        volume = backend.created()
        backend.open(backend.connect(volume))
        snapshot = backend.snapped(volume)

        driver.delete_snapshot(snapshot)

        with pytest.raises(DriverError):
            driver.create_volume_from_snapshot(backend.volume(), snapshot)


class TestCreateVolumeFromSnapshot:
    """Create a volume with a snapshot's data."""

    def test_answer_is_an_update_or_none(self, backend, driver):
        snapshot, volume = backend.snapped(backend.created()), backend.volume()

        assert is_update(driver.create_volume_from_snapshot(volume, snapshot), volume)

    def test_data_that_is_long_is_there(self, backend, driver):
        source, volume = backend.created(), backend.volume()
        backend.write(source, 12288, LONG)

        driver.create_volume_from_snapshot(volume, backend.snapped(source))

        assert difference(backend.read(volume, 12288, len(LONG)), LONG) is None

    def test_larger_volume_has_its_size_and_is_empty_beyond(self, backend, driver):
        source, volume = backend.created(1), backend.volume(3)
        backend.write(source, GIB - 4, b"tail")
        snapshot = backend.snapped(source)

        driver.create_volume_from_snapshot(volume, snapshot)

        assert backend.size(volume) == 3 * GIB
        assert backend.read(volume, GIB - 4, 8) == b"tail" + bytes(4)

    def test_snapshot_is_unchanged_by_what_is_written_to_the_volume(self, backend, driver):
        source, first, second = backend.created(), backend.volume(), backend.volume()
        backend.write(source, 0, b"data")
        snapshot = backend.snapped(source)
        driver.create_volume_from_snapshot(first, snapshot)

        backend.write(first, 0, b"else")

        driver.create_volume_from_snapshot(second, snapshot)
        assert backend.read(second, 0, 4) == b"data"

    def test_type_with_replication_has_the_data_too(self, backend, driver):
        """Where the driver cannot replicate, it refuses the type and leaves nothing."""
        source = backend.created()
        backend.write(source, 0, b"data")
        specs = {"replication": "<is> True", "replication_enabled": "<is> True"}
        kind = Record("volume_type", {"id": "t", "name": "t", "extra_specs": specs})
        volume = backend.volume(volume_type=kind, volume_type_id="t")
        try:
            driver.create_volume_from_snapshot(volume, backend.snapped(source))
        except DriverError:
            driver.delete_volume(volume)
        else:
            assert backend.read(volume, 0, 4) == b"data"

    def test_a_repeated_call_leaves_the_data(self, backend, driver):
        source, volume = backend.created(), backend.volume()
        backend.write(source, 0, b"data")
        snapshot = backend.snapped(source)
        driver.create_volume_from_snapshot(volume, snapshot)
        driver.create_volume_from_snapshot(volume, snapshot)

        assert backend.read(volume, 0, 4) == b"data"


@pytest.mark.announced("revert_to_snapshot")
class TestRevertToSnapshot:
    """Set a volume back to one of its snapshots."""

    def test_volume_has_the_snapshots_data(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"before")
        snapshot = backend.snapped(volume)
        backend.write(volume, 0, b"after.")
        backend.write(volume, GIB - 4, b"more")

        driver.revert_to_snapshot(backend.context, volume, snapshot)

        assert backend.read(volume, 0, 6) == b"before"
        assert backend.read(volume, GIB - 4, 4) == bytes(4)

    def test_volume_that_has_grown_keeps_its_size(self, backend, driver):
        volume = backend.created()
        snapshot = backend.snapped(volume)
        driver.extend_volume(volume, 2)
        backend.write(volume, 2 * GIB - 4, b"tail")

        driver.revert_to_snapshot(backend.context, volume.replace(size=2), snapshot)

        assert backend.size(volume) == 2 * GIB
        assert backend.read(volume, 2 * GIB - 4, 4) == bytes(4)

    def test_snapshot_can_be_used_again(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"before")
        snapshot = backend.snapped(volume)
        for text in (b"after.", b"later."):
            backend.write(volume, 0, text)
            driver.revert_to_snapshot(backend.context, volume, snapshot)

        assert backend.read(volume, 0, 6) == b"before"

    def test_absent_snapshot_leaves_the_volume(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"kept")

        with pytest.raises(DriverError):
            driver.revert_to_snapshot(backend.context, volume, backend.snapshot(volume))

        assert backend.read(volume, 0, 4) == b"kept"
