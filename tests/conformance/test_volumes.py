# SPDX-License-Identifier: Apache-2.0
"""Creating, deleting, extending, cloning. Source: seeds, VolumeDriverCore; spec/interfaces §8."""

from __future__ import annotations

import random

import pytest

from drivers.interface.errors import DriverError, TargetUpdateFailed, VolumeIsBusy

from .checks import answers
from .checks.contents import difference

GIB = 1024**3
MIB = 1024**2
LONG = random.Random(16).randbytes(5 * MIB + 512)
"""Data of several parts, whatever a driver copies at once."""


def is_update(answer, record):
    """Say whether a driver may answer so: None, or columns of that very row."""
    return answers.update(answer, record) is None


class TestCreateVolume:
    """Allocate the volume's storage."""

    def test_answer_is_an_update_or_none(self, backend, driver):
        volume = backend.volume()

        assert is_update(driver.create_volume(volume), volume)

    @pytest.mark.parametrize("size", [1, 7])
    def test_size_is_in_gib(self, backend, size):
        assert backend.size(backend.created(size)) == size * GIB

    @pytest.mark.plain
    @pytest.mark.parametrize("size", [17, 2049])
    def test_large_size_is_in_gib(self, backend, driver, size):
        """Above what 32 bits count in blocks."""
        stats = driver.get_volume_stats(refresh=True)
        if not stats.get("thin_provisioning_support"):
            pytest.skip("thin_provisioning_support is not reported: a large volume needs its space")
        volume, grown = backend.volume(size), backend.created()
        try:
            backend.updated(volume, driver.create_volume(volume))
            driver.extend_volume(grown, size)
        except DriverError as error:
            pytest.skip(f"the backend takes no volume of {size} GiB: {error}")

        assert backend.size(volume) == size * GIB
        assert backend.size(grown) == size * GIB

    def test_volume_is_empty(self, backend):
        volume = backend.created()

        assert difference(backend.read(volume, 0, MIB), bytes(MIB)) is None
        assert difference(backend.read(volume, GIB - MIB, MIB), bytes(MIB)) is None

    def test_what_an_interrupted_try_made_is_no_error(self, backend, driver):
        volume = backend.created()
        driver.create_volume(volume)

        assert backend.size(volume) == GIB

    def test_what_an_interrupted_try_wrote_is_gone(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"of the first try")

        driver.create_volume(volume)

        assert backend.read(volume, 0, 16) == bytes(16)

    def test_a_repeated_call_leaves_one_volume(self, backend, driver):
        before = driver.get_volume_stats(refresh=True).get("total_volumes")
        if before is None:
            pytest.skip(f"{type(driver).__name__} does not count volumes")

        driver.create_volume(backend.created())

        assert driver.get_volume_stats(refresh=True)["total_volumes"] == before + 1

    def test_volumes_do_not_share_data(self, backend):
        one, other = backend.created(), backend.created()
        backend.write(one, 0, b"one")

        assert backend.read(other, 0, 3) == bytes(3)


CHANGED_BY_OTHERS = {
    "renamed": {"display_name": "other", "display_description": "other"},
    "of another project": {"project_id": "other", "user_id": "other"},
    "in error": {"status": "error_deleting", "previous_status": "available"},
    "bootable": {"bootable": True},
    "with metadata": {"metadata": {"other": "value"}},
}
"""Columns that users and the worker write, without a call of the driver."""


class TestChangedRows:
    """A volume is found by its name, and by the columns that the driver wrote."""

    @pytest.mark.plain
    @pytest.mark.parametrize("columns", CHANGED_BY_OTHERS.values(), ids=list(CHANGED_BY_OTHERS))
    def test_volume_is_found_after_a_change_of_its_row(self, backend, driver, columns):
        volume = backend.created()
        backend.write(volume, 0, b"kept")
        snapshot = backend.snapped(volume)

        volume = backend.updated(volume, columns)

        assert backend.read(volume, 0, 4) == b"kept"
        with pytest.raises(VolumeIsBusy):
            driver.delete_volume(volume)
        driver.delete_snapshot(snapshot)
        driver.delete_volume(volume)


class TestDeleteVolume:
    """Remove the volume and its data."""

    def test_deleted_volume_is_gone(self, backend, driver):
        volume = backend.created()
        info = backend.connect(volume)
        backend.open(info)
        backend.disconnect(volume)

        driver.delete_volume(volume)

        with pytest.raises(DriverError):
            backend.connect(volume)

    def test_absent_volume_is_success(self, backend, driver):
        volume = backend.volume()
        driver.delete_volume(volume)
        driver.delete_volume(volume)

    def test_a_repeated_call_is_success(self, backend, driver):
        volume = backend.created()
        driver.delete_volume(volume)
        driver.delete_volume(volume)

    def test_data_does_not_show_up_in_a_later_volume(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"secret" * 1000)
        driver.delete_volume(volume)

        later = [backend.created(), backend.volume(id=volume.id)]
        driver.create_volume(later[1])

        assert [backend.read(one, 0, 6000) for one in later] == [bytes(6000), bytes(6000)]

    def test_volume_with_snapshots_is_busy_and_unchanged(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"kept")
        snapshot = backend.snapped(volume)

        with pytest.raises(VolumeIsBusy):
            driver.delete_volume(volume)

        assert backend.read(volume, 0, 4) == b"kept"
        driver.delete_snapshot(snapshot)
        driver.delete_volume(volume)

    def test_other_volumes_stay(self, backend, driver):
        volume, other = backend.created(), backend.created()
        backend.write(other, 0, b"kept")

        driver.delete_volume(volume)

        assert backend.read(other, 0, 4) == b"kept"


class TestExtendVolume:
    """Grow the volume."""

    def test_volume_has_the_new_size_in_gib(self, backend, driver):
        volume = backend.created()

        driver.extend_volume(volume, 3)

        assert backend.size(volume) == 3 * GIB

    def test_data_stays_and_the_rest_is_empty(self, backend, driver):
        volume = backend.created()
        backend.write(volume, GIB - 4, b"tail")

        driver.extend_volume(volume, 2)

        assert backend.read(volume, GIB - 4, 8) == b"tail" + bytes(4)

    def test_volume_that_has_the_size_is_left_as_it_is(self, backend, driver):
        volume = backend.created()
        driver.extend_volume(volume, 2)
        driver.extend_volume(volume, 2)

        assert backend.size(volume) == 2 * GIB

    def test_a_volume_never_shrinks(self, backend, driver):
        volume = backend.created(3)
        backend.write(volume, 3 * GIB - 4, b"tail")

        driver.extend_volume(volume.replace(size=1), 2)

        assert backend.read(volume, 3 * GIB - 4, 4) == b"tail"

    def test_volume_in_use_grows_where_that_is_announced(self, backend, driver):
        if not driver.get_volume_stats().get("online_extend_support", True):
            pytest.skip(f"{type(driver).__name__} does not announce online_extend_support")
        volume = backend.created()
        device = backend.open(backend.connect(volume))

        driver.extend_volume(volume, 2)

        assert device.size() == 2 * GIB

    def test_volume_whose_export_stands_grows_for_the_next_connection(self, backend, driver):
        volume = backend.created()
        backend.open(backend.connect(volume))

        try:
            driver.extend_volume(volume, 2)
        except TargetUpdateFailed:
            backend.disconnect(volume)

        assert backend.size(volume) == 2 * GIB

    def test_absent_volume_is_an_error_of_the_driver(self, backend, driver):
        backend.open(backend.connect(backend.created()))

        with pytest.raises(DriverError):
            driver.extend_volume(backend.volume(), 2)


@pytest.mark.announced("create_cloned_volume")
class TestCreateClonedVolume:
    """Create a volume with another one's data."""

    def test_answer_is_an_update_or_none(self, backend, driver):
        source, volume = backend.created(), backend.volume()

        assert is_update(driver.create_cloned_volume(volume, source), volume)

    def test_clone_has_the_data_of_that_moment(self, backend, driver):
        source, clone = backend.created(), backend.volume()
        backend.write(source, 12345, b"before")

        driver.create_cloned_volume(clone, source)
        backend.write(source, 12345, b"after.")

        assert backend.read(clone, 12345, 6) == b"before"

    def test_clone_has_data_that_is_long(self, backend, driver):
        source, clone = backend.created(), backend.volume()
        backend.write(source, 12288, LONG)

        driver.create_cloned_volume(clone, source)

        assert difference(backend.read(clone, 12288, len(LONG)), LONG) is None

    def test_source_does_not_see_what_the_clone_writes(self, backend, driver):
        source, clone = backend.created(), backend.volume()
        backend.write(source, 0, b"source")
        driver.create_cloned_volume(clone, source)

        backend.write(clone, 0, b"clone.")

        assert backend.read(source, 0, 6) == b"source"

    def test_larger_clone_has_its_size_and_is_empty_beyond(self, backend, driver):
        source, clone = backend.created(1), backend.volume(2)
        backend.write(source, GIB - 4, b"tail")

        driver.create_cloned_volume(clone, source)

        assert backend.size(clone) == 2 * GIB
        assert backend.read(clone, GIB - 4, 8) == b"tail" + bytes(4)

    def test_a_repeated_call_leaves_the_data(self, backend, driver):
        source, clone = backend.created(), backend.volume()
        backend.write(source, 0, b"data")
        driver.create_cloned_volume(clone, source)
        driver.create_cloned_volume(clone, source)

        assert backend.read(clone, 0, 4) == b"data"

    def test_clone_outlives_its_source(self, backend, driver):
        source, clone = backend.created(), backend.volume()
        backend.write(source, 0, b"data")
        driver.create_cloned_volume(clone, source)

        driver.delete_volume(source)

        assert backend.read(clone, 0, 4) == b"data"

    def test_absent_source_leaves_nothing(self, backend, driver):
        clone = backend.volume()
        backend.open(backend.connect(backend.created()))

        with pytest.raises(DriverError):
            driver.create_cloned_volume(clone, backend.volume())
        with pytest.raises(DriverError):
            backend.connect(clone)
