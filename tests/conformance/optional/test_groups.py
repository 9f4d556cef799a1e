# SPDX-License-Identifier: Apache-2.0
"""Groups of volumes. Source: seeds, VolumeConsistencyGroupDriver."""

from __future__ import annotations

import functools
import struct
import threading
import uuid

import pytest

from drivers.interface.errors import DriverError
from drivers.interface.group import VolumeConsistencyGroupDriver
from drivers.interface.records import Record

from ..interruption.kill import killed
from ..interruption.points import sources, spread

E_STATUSES = ("error", "error_deleting")


@pytest.fixture(autouse=True)
def _announced(driver):
    if not isinstance(driver, VolumeConsistencyGroupDriver):
        pytest.skip(f"{type(driver).__name__} is no VolumeConsistencyGroupDriver")


def record(kind, **fields):
    named = {"id": str(uuid.uuid4()), "name": "g", "description": None, "status": "creating"}
    owner = {"user_id": "user", "project_id": "project"}
    return Record(kind, {**named, **owner, **fields})


@pytest.fixture
def group(backend, driver):
    made = record("consistencygroup", host=backend.volume().host, volume_type_id="")
    backend._volumes.pop()
    assert is_model(driver.create_consistencygroup(backend.context, made))
    return made


@pytest.fixture
def members(backend, driver, group):
    """Two volumes in the group, each with data of its own."""
    volumes = [backend.created(), backend.created(2)]
    for number, volume in enumerate(volumes):
        backend.write(volume, 0, b"data %d" % number)
    answer = driver.update_consistencygroup(backend.context, group, volumes, [])
    assert is_answer(answer, volumes, [])
    return volumes


def is_model(answer):
    return answer is None or (isinstance(answer, dict) and answer.get("status") not in E_STATUSES)


def is_answer(answer, *lists):
    """Check that an answer reports success, in entries that the driver made."""
    if answer is None:
        return True
    model, *updates = answer
    for members, entries in zip(lists, updates, strict=True):
        for entry in entries or ():
            known = entry["id"] in {member.id for member in members}
            if not known or isinstance(entry, Record) or entry.get("status") in E_STATUSES:
                return False
    return is_model(model)


def snapped(backend, driver, group, volumes):
    """Return a group snapshot and its snapshots."""
    snapshots = [backend.snapshot(volume) for volume in volumes]
    whole = record("cgsnapshot", consistencygroup_id=group.id)
    assert is_answer(driver.create_cgsnapshot(backend.context, whole, snapshots), snapshots)
    return whole, snapshots


class TestCreateCgsnapshot:
    def test_snapshots_have_the_data_of_that_moment(self, backend, driver, group, members):
        _, snapshots = snapped(backend, driver, group, members)
        for volume in members:
            backend.write(volume, 0, b"later.")

        for number, snapshot in enumerate(snapshots):
            copy = backend.volume(2)
            driver.create_volume_from_snapshot(copy, snapshot)
            assert backend.read(copy, 0, 6) == b"data %d" % number

    def test_a_repeated_call_is_success(self, backend, driver, group, members):
        whole, snapshots = snapped(backend, driver, group, members)

        for volume in members:
            backend.write(volume, 512, b"later")
        answer = driver.create_cgsnapshot(backend.context, whole, snapshots)

        assert is_answer(answer, snapshots)
        copies = [backend.volume(2), backend.volume(2)]
        for copy, snapshot in zip(copies, snapshots, strict=True):
            driver.create_volume_from_snapshot(copy, snapshot)
        assert backend.read(copies[0], 512, 5) == backend.read(copies[1], 512, 5)

    @pytest.mark.plain
    @pytest.mark.calls
    def test_a_repeated_call_after_a_kill_is_of_one_moment(self, backend, driver, group, members):
        """Members that the killed call finished are older than the others: they go as well."""
        places = sources(type(driver))
        whole = record("cgsnapshot", consistencygroup_id=group.id)
        for at in spread(60, backend.case.points):
            snapshots = [backend.snapshot(volume) for volume in members]
            killed(
                lambda snapshots=snapshots: functools.partial(
                    backend.made_anew().create_cgsnapshot, backend.context, whole, snapshots
                ),
                places,
                at,
            )
            backend.restarted()
            for volume in members:
                backend.write(volume, 512, b"%06d" % at)

            driver.create_cgsnapshot(backend.context, whole, snapshots)

            copies = [backend.volume(2), backend.volume(2)]
            for copy, snapshot in zip(copies, snapshots, strict=True):
                driver.create_volume_from_snapshot(copy, snapshot)
            assert backend.read(copies[0], 512, 6) == backend.read(copies[1], 512, 6)

    def test_snapshots_are_those_of_their_volumes(self, backend, driver, group, members):
        _, snapshots = snapped(backend, driver, group, list(reversed(members)))
        copy = backend.volume(2)

        driver.create_volume_from_snapshot(copy, snapshots[0])

        assert backend.read(copy, 0, 6) == b"data 1"

    def test_absent_volume_leaves_no_snapshot(self, backend, driver, group, members):
        backend.open(backend.connect(members[0]))
        snapshots = [backend.snapshot(members[0]), backend.snapshot(backend.volume())]
        whole = record("cgsnapshot", consistencygroup_id=group.id)

        with pytest.raises(DriverError):
            driver.create_cgsnapshot(backend.context, whole, snapshots)
        with pytest.raises(DriverError):
            driver.create_volume_from_snapshot(backend.volume(), snapshots[0])

    @pytest.mark.plain
    def test_writes_are_in_all_of_them_or_in_none(self, backend, driver, group):
        """A number is written to one volume after the other: never more than one apart."""
        volumes = [backend.created(), backend.created()]
        devices = [backend.open(backend.connect(volume)) for volume in volumes]
        done = threading.Event()

        def write():
            number = 0
            while not done.is_set():
                number += 1
                for device in devices:
                    device.write(0, struct.pack(">Q", number))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            found = [self._pair(backend, driver, group, volumes) for _ in range(5)]
        finally:
            done.set()
            writer.join()

        pairs = [pair for pair in found if pair is not None]
        assert all(first - second in (0, 1) for first, second in pairs), pairs

    def _pair(self, backend, driver, group, volumes):
        """Return the numbers in a snapshot; None where the driver says it cannot now."""
        try:
            _, snapshots = snapped(backend, driver, group, volumes)
        except DriverError:
            return None
        numbers = []
        for snapshot in snapshots:
            copy = backend.volume()
            driver.create_volume_from_snapshot(copy, snapshot)
            numbers += struct.unpack(">Q", backend.read(copy, 0, 8))
        return numbers


class TestDeleteCgsnapshot:
    def test_snapshots_are_gone_and_volumes_stay(self, backend, driver, group, members):
        backend.open(backend.connect(members[0]))
        whole, snapshots = snapped(backend, driver, group, members)

        assert is_answer(driver.delete_cgsnapshot(backend.context, whole, snapshots), snapshots)

        for snapshot in snapshots:
            with pytest.raises(DriverError):
                driver.create_volume_from_snapshot(backend.volume(2), snapshot)
        for number, volume in enumerate(members):
            assert backend.read(volume, 0, 6) == b"data %d" % number

    def test_other_snapshots_stay(self, backend, driver, group, members):
        kept, copy = backend.snapped(members[0]), backend.volume()
        whole, snapshots = snapped(backend, driver, group, members)

        driver.delete_cgsnapshot(backend.context, whole, snapshots)

        driver.create_volume_from_snapshot(copy, kept)
        assert backend.read(copy, 0, 6) == b"data 0"

    def test_absent_snapshots_are_success(self, backend, driver, group, members):
        whole, snapshots = snapped(backend, driver, group, members)
        for _ in range(2):
            answer = driver.delete_cgsnapshot(backend.context, whole, snapshots)
            assert is_answer(answer, snapshots)


class TestCreateFromSource:
    @pytest.fixture
    def targets(self, backend):
        return [backend.volume(2), backend.volume(3)]

    def test_of_a_cgsnapshot(self, backend, driver, group, members, targets):
        whole, snapshots = snapped(backend, driver, group, members)
        backend.write(members[0], 0, b"later.")
        new = record("consistencygroup", cgsnapshot_id=whole.id)

        answer = driver.create_consistencygroup_from_src(
            backend.context, new, targets, whole, snapshots, None, None
        )

        assert is_answer(answer, targets)
        self._compare(backend, targets)

    def test_of_another_group_and_again(self, backend, driver, group, members, targets):
        new = record("consistencygroup", source_cgid=group.id)
        for _ in range(2):
            answer = driver.create_consistencygroup_from_src(
                backend.context, new, targets, None, None, group, members
            )
            assert is_answer(answer, targets)

        self._compare(backend, targets)

    def test_sources_stay(self, backend, driver, group, members, targets):
        new = record("consistencygroup", source_cgid=group.id)
        driver.create_consistencygroup_from_src(
            backend.context, new, targets, None, None, group, members
        )
        backend.write(targets[0], 0, b"else..")

        for number, volume in enumerate(members):
            assert backend.read(volume, 0, 6) == b"data %d" % number

    def _compare(self, backend, targets):
        for number, volume in enumerate(targets):
            assert backend.read(volume, 0, 6) == b"data %d" % number
            assert backend.size(volume) == volume.size * 1024**3

    def test_absent_source_leaves_no_volume(self, backend, driver, group, members, targets):
        backend.open(backend.connect(members[0]))
        sources = [members[0], backend.volume()]
        new = record("consistencygroup", source_cgid=group.id)

        with pytest.raises(DriverError):
            driver.create_consistencygroup_from_src(
                backend.context, new, targets, None, None, group, sources
            )
        with pytest.raises(DriverError):
            driver.extend_volume(targets[0], 4)


class TestDeleteGroup:
    def test_volumes_are_gone(self, backend, driver, group, members):
        backend.connect(members[0])
        backend.disconnect(members[0])  # as the worker does

        answer = driver.delete_consistencygroup(backend.context, group, members)

        assert is_answer(answer, members)
        for volume in members:
            with pytest.raises(DriverError):
                driver.extend_volume(volume, 5)

    def test_absent_volumes_are_success(self, backend, driver, group, members):
        for _ in range(2):
            answer = driver.delete_consistencygroup(backend.context, group, members)
            assert is_answer(answer, members)

    def test_others_stay(self, backend, driver, group, members):
        other = backend.created()
        backend.write(other, 0, b"kept")

        driver.delete_consistencygroup(backend.context, group, members)

        assert backend.read(other, 0, 4) == b"kept"

    def test_a_group_without_members_is_deleted(self, backend, driver, group):
        assert is_answer(driver.delete_consistencygroup(backend.context, group, []), [])

    def test_a_member_that_cannot_go_is_told_of(self, backend, driver, group, members):
        backend.snapped(members[0])
        try:
            _, entries = driver.delete_consistencygroup(backend.context, group, members)
        except DriverError:
            return
        said = {entry["id"]: entry["status"] for entry in entries}
        assert said[members[0].id] in E_STATUSES
        assert backend.read(members[0], 0, 6) == b"data 0"


class TestUpdate:
    def test_members_that_leave_keep_their_data(self, backend, driver, group, members):
        answer = driver.update_consistencygroup(backend.context, group, [], members)

        assert is_answer(answer, [], members)
        for number, volume in enumerate(members):
            assert backend.read(volume, 0, 6) == b"data %d" % number

    def test_lists_may_be_absent(self, backend, driver, group, members):
        assert is_answer(driver.update_consistencygroup(backend.context, group), [], [])

    def test_members_that_join_keep_their_data(self, backend, driver, group, members):
        for number, volume in enumerate(members):
            assert backend.read(volume, 0, 6) == b"data %d" % number

    def test_absent_volume_is_an_error(self, backend, driver, group):
        backend.open(backend.connect(backend.created()))
        try:
            answer = driver.update_consistencygroup(backend.context, group, [backend.volume()], [])
        except DriverError:
            return
        if answer is None or (answer[0] or {}).get("status") not in E_STATUSES:
            pytest.skip(f"{type(driver).__name__} keeps no list of members")


class TestCreateGroup:
    def test_it_can_be_repeated(self, backend, driver, group):
        assert is_model(driver.create_consistencygroup(backend.context, group))
