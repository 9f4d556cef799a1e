# SPDX-License-Identifier: Apache-2.0
"""Existing objects become volumes and snapshots. Source: seeds, the management drivers.

An object to take over is made by letting a volume go: its data stays on the backend.
"""

from __future__ import annotations

import pytest

from drivers.interface.errors import (
    InvalidInput,
    ManageExistingInvalidReference,
    ManageExistingVolumeTypeMismatch,
)
from drivers.interface.manage import VolumeManagementDriver
from drivers.interface.records import Record
from drivers.interface.snapshot import VolumeSnapshotManagementDriver

from ..backend import announces, listed
from ..checks import outside
from ..test_volumes import GIB, is_update

ABSENT = {"source-name": "no-such-object-e3b0c442"}
SENSELESS = [{}, {"source-name": outside.RELATIVE}, {"source-name": ""}, {"source-id": "none"}]


class TestVolumeManagement:
    """Take existing volumes over, and let them go."""

    @pytest.fixture(autouse=True)
    def _announced(self, driver):
        if not isinstance(driver, VolumeManagementDriver):
            pytest.skip(f"{type(driver).__name__} is no VolumeManagementDriver")

    @pytest.fixture
    def loose(self, backend, driver):
        """An unmanaged object of 2 GiB on the backend, and its reference."""
        old = backend.created(2)
        backend.write(old, 0, b"kept")
        driver.unmanage(old)
        return {"source-name": old.name}

    @pytest.mark.parametrize("reference", [ABSENT, *SENSELESS], ids=outside.shown)
    def test_reference_to_nothing_is_invalid(self, backend, driver, reference):
        volume = backend.volume()

        with pytest.raises(ManageExistingInvalidReference):
            driver.manage_existing_get_size(volume, reference)
        with pytest.raises(ManageExistingInvalidReference):
            driver.manage_existing(volume, reference)

    def test_reference_to_a_file_outside_is_invalid(self, backend, driver):
        """No operator of the storage has put it among the volumes."""
        volume = backend.volume()

        with outside.file(GIB) as names:
            for name in names:
                for call in (driver.manage_existing_get_size, driver.manage_existing):
                    with pytest.raises(ManageExistingInvalidReference):
                        call(volume, {"source-name": name})

    def test_size_is_in_whole_gib_and_asking_changes_nothing(self, backend, driver, loose):
        new = backend.volume(0)

        assert driver.manage_existing_get_size(new, loose) == 2
        assert driver.manage_existing_get_size(new, loose) == 2

    @pytest.mark.parametrize(
        ("size", "gib"),
        [(1, 1), (GIB - 1, 1), (GIB, 1), (GIB + 1, 2), (2 * GIB - 512, 2), (2 * GIB + 512, 3)],
    )
    def test_size_is_rounded_up(self, backend, driver, size, gib):
        reference, volume = backend.foreign(size), backend.volume(0)

        assert driver.manage_existing_get_size(volume, reference) == gib

        volume = backend.volume(gib)
        backend.updated(volume, driver.manage_existing(volume, reference))
        assert backend.size(volume) >= size
        assert backend.read(volume, 0, 1) == b"k"

    def test_asking_for_the_size_changes_nothing(self, backend, driver):
        reference, volume = backend.foreign(GIB), backend.volume(0)
        before = backend.inventory()

        driver.manage_existing_get_size(volume, reference)

        assert backend.inventory() == before

    def test_type_that_does_not_fit_is_refused(self, backend, driver, loose):
        """As far as the driver compares types; it says why, and changes nothing."""
        specs = {"volume_backend_name": "another", "capabilities": "none"}
        kind = Record("volume_type", {"id": "t", "name": "t", "extra_specs": specs})
        new = backend.volume(2, volume_type=kind, volume_type_id="t")
        try:
            driver.manage_existing(new, loose)
        except ManageExistingVolumeTypeMismatch as refused:
            assert str(refused)
            fitting = backend.volume(2)
            backend.updated(fitting, driver.manage_existing(fitting, loose))
            assert backend.read(fitting, 0, 4) == b"kept"
        else:
            pytest.skip(f"{type(driver).__name__} does not compare types")

    def test_object_is_that_of_the_reference(self, backend, driver):
        first, second = backend.created(), backend.created()
        for number, volume in enumerate((first, second)):
            backend.write(volume, 0, b"%d" % number)
            driver.unmanage(volume)
        new = backend.volume()

        backend.updated(new, driver.manage_existing(new, {"source-name": second.name}))

        assert backend.read(new, 0, 1) == b"1"
        assert driver.manage_existing_get_size(backend.volume(), {"source-name": first.name}) == 1

    def test_unmanaging_keeps_the_object_and_its_data(self, backend, driver):
        volume, new = backend.created(), backend.volume()
        backend.write(volume, 0, b"kept")

        driver.unmanage(volume)

        backend.updated(new, driver.manage_existing(new, {"source-name": volume.name}))
        assert backend.read(new, 0, 4) == b"kept"

    def test_managed_volume_keeps_its_data(self, backend, driver, loose):
        new = backend.volume(2)
        answer = driver.manage_existing(new, loose)

        assert is_update(answer, new)
        managed = backend.updated(new, answer)
        assert backend.read(managed, 0, 4) == b"kept"

    def test_a_repeated_call_finds_the_object_under_its_new_name(self, backend, driver, loose):
        new = backend.volume(2)
        backend.updated(new, driver.manage_existing(new, loose))

        managed = backend.updated(new, driver.manage_existing(new, loose))

        assert driver.manage_existing_get_size(managed, loose) == 2
        assert backend.read(managed, 0, 4) == b"kept"

    def test_every_later_call_finds_the_object(self, backend, driver, loose):
        new, copy = backend.volume(2), backend.volume(2)
        managed = backend.updated(new, driver.manage_existing(new, loose))

        driver.create_volume_from_snapshot(copy, backend.snapped(managed))
        driver.extend_volume(managed, 3)

        assert backend.read(copy, 0, 4) == b"kept"
        assert backend.size(managed.replace(size=3)) == 3 * 1024**3

    def test_deleted_volume_is_gone(self, backend, driver, loose):
        new = backend.volume(2)
        managed = backend.updated(new, driver.manage_existing(new, loose))

        driver.delete_volume(managed)

        with pytest.raises(ManageExistingInvalidReference):
            driver.manage_existing_get_size(backend.volume(), loose)

    def test_unmanaging_twice_is_success(self, backend, driver):
        volume = backend.created()
        driver.unmanage(volume)
        driver.unmanage(volume)

    def test_list_tells_what_is_managed(self, backend, driver, loose):
        managed = backend.created(1)
        if not announces(type(driver), "get_manageable_volumes"):
            pytest.skip(f"{type(driver).__name__} does not announce get_manageable_volumes")
        found = listed(driver, "volumes", [managed])
        (ours,) = [entry for entry in found if entry["cinder_id"] == managed.id]
        (free,) = [entry for entry in found if loose.items() <= entry["reference"].items()]
        assert (ours["safe_to_manage"], ours["size"]) == (False, 1)
        assert ours["reason_not_safe"]
        assert (free["safe_to_manage"], free["size"], free["cinder_id"]) == (True, 2, None)
        assert driver.manage_existing_get_size(backend.volume(), free["reference"]) == 2

    def test_list_comes_in_pages(self, backend, driver):
        volumes = [backend.created(size) for size in (1, 2, 3)]
        for volume in volumes:
            driver.unmanage(volume)
        if not announces(type(driver), "get_manageable_volumes"):
            pytest.skip(f"{type(driver).__name__} does not announce get_manageable_volumes")
        everything = listed(driver, "volumes", [])

        sizes = [entry["size"] for entry in everything]
        assert sizes == sorted(sizes)
        backwards = listed(driver, "volumes", [], sort_dirs=["desc"])
        assert [entry["size"] for entry in backwards] == sorted(sizes, reverse=True)
        marker = everything[0]["reference"]
        assert listed(driver, "volumes", [], marker=marker, limit=1) == everything[1:2]
        assert listed(driver, "volumes", [], offset=2) == everything[2:]

    @pytest.mark.parametrize(
        "page",
        [{"marker": ABSENT}, {"marker": "{"}, {"sort_keys": ["colour"]}, {"sort_dirs": ["up"]}],
        ids=str,
    )
    def test_page_that_makes_no_sense(self, backend, driver, page):
        backend.created()
        if not announces(type(driver), "get_manageable_volumes"):
            pytest.skip(f"{type(driver).__name__} does not announce get_manageable_volumes")

        with pytest.raises(InvalidInput):
            listed(driver, "volumes", [], **page)


class TestSnapshotManagement:
    """Take existing snapshots over, and let them go."""

    @pytest.fixture(autouse=True)
    def _announced(self, driver):
        if not isinstance(driver, VolumeSnapshotManagementDriver):
            pytest.skip(f"{type(driver).__name__} is no VolumeSnapshotManagementDriver")

    @pytest.fixture
    def volume(self, backend):
        volume = backend.created(2)
        backend.write(volume, 0, b"kept")
        return volume

    @pytest.fixture
    def loose(self, backend, driver, volume):
        """A snapshot that was let go, as the list names it."""
        snapshot = backend.snapped(volume)
        if not announces(type(driver), "get_manageable_snapshots"):
            pytest.skip(f"{type(driver).__name__} does not announce get_manageable_snapshots")
        driver.unmanage_snapshot(snapshot)
        found = listed(driver, "snapshots", [])
        (entry,) = [e for e in found if e["source_reference"] == {"source-name": volume.name}]
        assert (entry["size"], entry["safe_to_manage"], entry["cinder_id"]) == (2, True, None)
        return entry["reference"]

    @pytest.mark.parametrize("reference", [ABSENT, *SENSELESS], ids=outside.shown)
    def test_reference_to_nothing_is_invalid(self, backend, driver, volume, reference):
        snapshot = backend.snapshot(volume)

        with pytest.raises(ManageExistingInvalidReference):
            driver.manage_existing_snapshot_get_size(snapshot, reference)
        with pytest.raises(ManageExistingInvalidReference):
            driver.manage_existing_snapshot(snapshot, reference)

    def test_reference_to_a_file_outside_is_invalid(self, backend, driver, volume):
        snapshot = backend.snapshot(volume)
        calls = (driver.manage_existing_snapshot_get_size, driver.manage_existing_snapshot)

        with outside.file(2 * GIB) as names:
            for name in names:
                for call in calls:
                    with pytest.raises(ManageExistingInvalidReference):
                        call(snapshot, {"source-name": name})

    def test_managed_snapshot_keeps_its_data(self, backend, driver, volume, loose):
        new, copy = backend.snapshot(volume), backend.volume(2)
        backend.write(volume, 0, b"else")

        for _ in range(2):
            assert driver.manage_existing_snapshot_get_size(new, loose) == 2
        answer = driver.manage_existing_snapshot(new, loose)
        assert is_update(answer, new)
        managed = backend.updated(new, answer)
        driver.create_volume_from_snapshot(copy, managed)
        assert backend.read(copy, 0, 4) == b"kept"

    def test_a_repeated_call_finds_the_object_under_its_new_name(
        self, backend, driver, volume, loose
    ):
        new, copy = backend.snapshot(volume), backend.volume(2)
        driver.manage_existing_snapshot(new, loose)
        managed = backend.updated(new, driver.manage_existing_snapshot(new, loose))

        driver.create_volume_from_snapshot(copy, managed)

        assert backend.read(copy, 0, 4) == b"kept"

    def test_deleted_snapshot_is_gone(self, backend, driver, volume, loose):
        new = backend.snapshot(volume)
        managed = backend.updated(new, driver.manage_existing_snapshot(new, loose))

        driver.delete_snapshot(managed)

        with pytest.raises(ManageExistingInvalidReference):
            driver.manage_existing_snapshot_get_size(backend.snapshot(volume), loose)

    def test_snapshot_that_was_let_go_does_not_keep_its_volume(self, backend, driver, volume):
        driver.unmanage_snapshot(backend.snapped(volume))

        driver.delete_volume(volume)

    def test_unmanaged_snapshot_keeps_its_volume(self, backend, driver, volume):
        other = backend.snapped(volume)
        driver.unmanage_snapshot(backend.snapped(volume))

        copy = backend.volume(2)
        driver.create_volume_from_snapshot(copy, other)
        assert backend.read(volume, 0, 4) == backend.read(copy, 0, 4) == b"kept"

    def test_unmanaging_twice_is_success(self, backend, driver, volume):
        snapshot = backend.snapped(volume)
        driver.unmanage_snapshot(snapshot)
        driver.unmanage_snapshot(snapshot)

    def test_list_tells_what_is_managed(self, backend, driver, volume):
        managed = backend.snapped(volume)
        if not announces(type(driver), "get_manageable_snapshots"):
            pytest.skip(f"{type(driver).__name__} does not announce get_manageable_snapshots")
        found = listed(driver, "snapshots", [managed])

        (ours,) = [entry for entry in found if entry["cinder_id"] == managed.id]

        assert (ours["safe_to_manage"], ours["size"]) == (False, 2)
        assert ours["source_reference"] == {"source-name": volume.name}
