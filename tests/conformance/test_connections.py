# SPDX-License-Identifier: Apache-2.0
"""Connections and exports. Source: seeds, VolumeDriverCore; spec/interfaces §2.2 and §8."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest

from drivers.interface.errors import (
    DriverError,
    InvalidConnectorException,
    SnapshotIsBusy,
    VolumeIsBusy,
)

from .backend import CONNECTOR
from .checks import leaks
from .test_volumes import GIB

CYCLES = 6

OTHER = {**CONNECTOR, "host": "elsewhere", "initiator": "iqn.2026-11.org.example:other"}


def require_multiattach(driver):
    if not driver.get_volume_stats().get("multiattach"):
        pytest.skip(f"{type(driver).__name__} does not announce multiattach")


def require_revocable(info):
    if info["driver_volume_type"] == "local":
        pytest.skip("a path of this host cannot be revoked")


def require_no_access(backend, info, device):
    """Check that neither the connection info nor an open device leads to data."""
    for reach in (lambda: backend.open(info).read(0, 512), lambda: device.read(0, 512)):
        try:
            reach()
        except (OSError, ValueError, LookupError, AssertionError, DriverError):
            continue
        pytest.fail("the volume can still be read")


class TestInitializeConnection:
    """Let a connector reach the volume and say how."""

    def test_answer_says_type_and_data(self, backend):
        info = backend.connect(backend.created())

        assert isinstance(info["driver_volume_type"], str)
        assert isinstance(info["data"], dict)

    def test_answer_is_fit_for_json(self, backend):
        info = backend.connect(backend.created())

        assert json.loads(json.dumps(info)) == info

    def test_answer_to_a_repeated_call_is_the_same(self, backend, driver):
        volume = backend.created()
        first = backend.connect(volume)

        assert driver.initialize_connection(volume, CONNECTOR) == first

    def test_initiator_data_may_be_given(self, backend, driver):
        volume = backend.created()
        first = backend.connect(volume)

        again = driver.initialize_connection(volume, CONNECTOR, initiator_data={"key": "value"})

        assert again["driver_volume_type"] == first["driver_volume_type"]

    def test_initiator_updates_are_pairs_and_keys(self, backend):
        updates = backend.connect(backend.created()).get("initiator_updates", {})

        assert set(updates) <= {"set_values", "remove_values"}
        pairs, removed = updates.get("set_values", {}), updates.get("remove_values", [])
        assert isinstance(pairs, dict)
        assert isinstance(removed, list)
        assert all(isinstance(one, str) for one in (*pairs, *pairs.values(), *removed))

    def test_what_is_written_is_read_after_another_connection(self, backend):
        volume = backend.created()
        backend.write(volume, 4096, b"kept")

        assert backend.read(volume, 4096, 4) == b"kept"

    def test_absent_volume_is_an_error_of_the_driver(self, backend, driver):
        backend.open(backend.connect(backend.created()))

        with pytest.raises(DriverError):
            driver.initialize_connection(backend.volume(), CONNECTOR)

    def test_connections_of_two_volumes_lead_to_their_own_data(self, backend):
        volumes = [backend.created(), backend.created()]
        devices = [backend.open(backend.connect(volume)) for volume in volumes]
        for number, device in enumerate(devices):
            device.write(0, b"%d" % number)

        assert [device.read(0, 1) for device in devices] == [b"0", b"1"]

    def test_second_connector_reaches_the_same_data(self, backend, driver):
        require_multiattach(driver)
        volume = backend.created()
        one = backend.open(backend.connect(volume))
        other = backend.open(backend.connect(volume, OTHER))

        one.write(0, b"one")
        other.write(512, b"other")

        assert other.read(0, 3) == b"one"
        assert one.read(512, 5) == b"other"
        assert one.size() == other.size()

    def test_data_is_reached_after_a_restart(self, backend):
        volume = backend.created()
        device = backend.open(backend.connect(volume))
        device.write(0, b"kept")

        backend.restarted()

        assert device.read(0, 4) == b"kept"
        backend.disconnect(volume)
        assert backend.read(volume, 0, 4) == b"kept"


class TestTerminateConnection:
    """Take a connector's access away."""

    def test_answer_is_a_boolean_or_none(self, backend, driver):
        volume = backend.created()
        backend.connect(volume)

        assert driver.terminate_connection(volume, CONNECTOR) in (None, True, False)

    def test_nothing_to_take_away_is_success(self, backend, driver):
        volume = backend.created()
        driver.terminate_connection(volume, CONNECTOR)
        driver.terminate_connection(backend.volume(), CONNECTOR)

    def test_a_repeated_call_is_success(self, backend, driver):
        volume = backend.created()
        backend.connect(volume)
        driver.terminate_connection(volume, CONNECTOR)
        driver.terminate_connection(volume, CONNECTOR)

    def test_no_connector_ends_all_connections(self, backend, driver):
        volume = backend.created()
        backend.connect(volume)
        try:
            backend.connect(volume, OTHER)
        except InvalidConnectorException as error:
            pytest.skip(f"the driver refuses connectors of other hosts: {error}")

        driver.terminate_connection(volume, None)

        driver.remove_export(backend.context, volume)
        driver.delete_volume(volume)

    def test_access_ends(self, backend, driver):
        volume = backend.created()
        info = backend.connect(volume)
        device = backend.open(info)
        require_revocable(info)

        backend.disconnect(volume)

        require_no_access(backend, info, device)

    def test_access_of_that_connector_ends_alone(self, backend, driver):
        require_multiattach(driver)
        volume = backend.created()
        infos = [backend.connect(volume), backend.connect(volume, OTHER)]
        devices = [backend.open(info) for info in infos]
        require_revocable(infos[0])
        if infos[0]["data"] == infos[1]["data"]:
            pytest.skip("all connectors share one connection")

        driver.terminate_connection(volume, CONNECTOR)

        require_no_access(backend, infos[0], devices[0])
        devices[1].write(0, b"still")
        assert devices[1].read(0, 5) == b"still"

    def test_no_connector_ends_the_access_of_all(self, backend, driver):
        volume = backend.created()
        info = backend.connect(volume)
        device = backend.open(info)
        require_revocable(info)

        driver.terminate_connection(volume, None)
        driver.remove_export(backend.context, volume)

        require_no_access(backend, info, device)

    def test_other_volumes_stay_connected(self, backend, driver):
        volume, other = backend.created(), backend.created()
        backend.connect(volume)
        device = backend.open(backend.connect(other))
        device.write(0, b"kept")

        driver.terminate_connection(volume, None)
        driver.remove_export(backend.context, volume)

        assert device.read(0, 4) == b"kept"

    def test_shared_connection_is_said_to_be_in_use(self, backend, driver):
        require_multiattach(driver)
        volume = backend.created()
        for connector in (CONNECTOR, OTHER):
            backend.open(backend.connect(volume, connector))
        if driver.get_volume_stats()["storage_protocol"] == "local":
            pytest.skip("a path has no connections")

        assert driver.terminate_connection(volume, CONNECTOR) is True
        assert not driver.terminate_connection(volume, OTHER)

    def test_another_connector_keeps_its_access(self, backend, driver):
        require_multiattach(driver)
        volume = backend.created()
        backend.connect(volume)
        device = backend.open(backend.connect(volume, OTHER))

        if driver.terminate_connection(volume, CONNECTOR) is not True:  # as the worker does
            driver.remove_export(backend.context, volume)

        device.write(0, b"still")
        assert device.read(0, 5) == b"still"

    def test_data_stays(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"kept")

        driver.terminate_connection(volume, None)

        assert backend.read(volume, 0, 4) == b"kept"


@pytest.mark.announced("validate_connector")
class TestValidateConnector:
    """Check a connector before anything is exported to it."""

    def test_complete_connector_is_accepted(self, driver):
        driver.validate_connector(CONNECTOR)

    def test_empty_connector_is_refused_as_such_or_accepted(self, driver):
        try:
            driver.validate_connector({})
        except InvalidConnectorException as refused:
            assert str(refused)


@pytest.mark.announced("create_export")
class TestCreateExport:
    """Make the volume reachable, before a connection is initialized."""

    def test_a_repeated_call_is_success(self, backend, driver):
        volume = backend.created()
        for _ in range(2):
            driver.create_export(backend.context, volume, CONNECTOR)

        device = backend.open(driver.initialize_connection(volume, CONNECTOR))
        device.write(0, b"data")
        assert device.read(0, 4) == b"data"

    def test_connector_may_be_absent(self, backend, driver):
        driver.create_export(backend.context, backend.created(), None)

    def test_absent_volume_is_an_error_of_the_driver(self, backend, driver):
        backend.open(backend.connect(backend.created()))

        with pytest.raises(DriverError):
            driver.create_export(backend.context, backend.volume(), CONNECTOR)


@pytest.mark.announced("ensure_export")
class TestEnsureExport:
    """Make an export anew that should be there."""

    def test_volume_is_reachable_where_it_was(self, backend):
        volume = backend.created()
        device = backend.open(backend.connect(volume))
        device.write(0, b"kept")

        backend.driver = backend.start()
        backend.driver.ensure_export(backend.context, volume)

        assert device.read(0, 4) == b"kept"

    def test_connection_that_stands_is_left(self, backend, driver):
        volume = backend.created()
        info = backend.connect(volume)
        device = backend.open(info)

        driver.ensure_export(backend.context, volume)

        device.write(0, b"data")
        assert device.read(0, 4) == b"data"
        assert driver.initialize_connection(volume, CONNECTOR) == info

    def test_export_that_is_gone_comes_back(self, backend, driver):
        volume = backend.created()
        driver.ensure_export(backend.context, volume)

        device = backend.open(driver.initialize_connection(volume, CONNECTOR))
        assert device.read(0, 4) == bytes(4)


@pytest.mark.announced("remove_export")
class TestRemoveExport:
    """Make the volume unreachable."""

    def test_absence_is_success(self, backend, driver):
        driver.remove_export(backend.context, backend.created())
        driver.remove_export(backend.context, backend.volume())

    def test_access_ends(self, backend, driver):
        volume = backend.created()
        info = backend.connect(volume)
        device = backend.open(info)
        require_revocable(info)

        driver.remove_export(backend.context, volume)

        require_no_access(backend, info, device)

    def test_export_of_another_volume_stays(self, backend, driver):
        volume, other = backend.created(), backend.created()
        backend.connect(volume)
        device = backend.open(backend.connect(other))

        driver.remove_export(backend.context, volume)

        assert device.size() == GIB

    def test_volume_can_be_deleted_afterwards(self, backend, driver):
        volume = backend.created()
        backend.connect(volume)
        driver.remove_export(backend.context, volume)
        driver.remove_export(backend.context, volume)

        driver.delete_volume(volume)


class TestDeletionInUse:
    """A volume that is attached, or exported to a connector, is busy."""

    def test_attached_volume_is_busy_and_unchanged(self, backend, driver):
        volume = backend.created()
        info = backend.connect(volume)
        device = backend.open(info)
        device.write(0, b"kept")
        require_revocable(info)

        with pytest.raises(VolumeIsBusy):
            driver.delete_volume(volume)

        assert device.read(0, 4) == b"kept"
        backend.disconnect(volume)
        assert backend.read(volume, 0, 4) == b"kept"
        driver.delete_volume(volume)

    def test_volume_of_another_connector_is_busy(self, backend, driver):
        require_multiattach(driver)
        volume = backend.created()
        require_revocable(backend.connect(volume))
        backend.open(backend.connect(volume, OTHER))
        driver.terminate_connection(volume, CONNECTOR)

        with pytest.raises(VolumeIsBusy):
            driver.delete_volume(volume)

    def test_volume_that_is_created_again_is_not_emptied_under_its_user(self, backend, driver):
        volume = backend.created()
        info = backend.connect(volume)
        device = backend.open(info)
        device.write(0, b"kept")
        require_revocable(info)

        with contextlib.suppress(DriverError):
            driver.create_volume(volume)
            return  # then it is not the volume in use
        assert device.read(0, 4) == b"kept"


@pytest.mark.announced("initialize_connection_snapshot")
class TestSnapshotConnections:
    """Read a snapshot, as a backup does."""

    @pytest.fixture
    def snapshot(self, backend):
        volume = backend.created()
        backend.write(volume, 0, b"before")
        made = backend.snapped(volume)
        backend.write(volume, 0, b"after.")
        return made

    def connected(self, backend, snapshot):
        connector = {**CONNECTOR, "do_local_attach": True}
        backend.driver.create_export_snapshot(backend.context, snapshot, connector)
        return backend.driver.initialize_connection_snapshot(snapshot, connector), connector

    def test_data_of_that_moment_is_read(self, backend, driver, snapshot):
        info, connector = self.connected(backend, snapshot)

        assert backend.open(info).read(0, 6) == b"before"
        driver.terminate_connection_snapshot(snapshot, connector)
        driver.remove_export_snapshot(backend.context, snapshot)

    def test_access_ends(self, backend, driver, snapshot):
        info, connector = self.connected(backend, snapshot)
        device = backend.open(info)
        try:
            require_revocable(info)
        finally:
            driver.terminate_connection_snapshot(snapshot, connector)
            driver.remove_export_snapshot(backend.context, snapshot)

        require_no_access(backend, info, device)

    def test_no_connector_ends_all_access(self, backend, driver, snapshot):
        info, _ = self.connected(backend, snapshot)
        device = backend.open(info)

        driver.terminate_connection_snapshot(snapshot, None)
        driver.remove_export_snapshot(backend.context, snapshot)

        require_revocable(info)
        require_no_access(backend, info, device)

    def test_snapshot_that_is_read_is_busy_or_gone(self, backend, driver, snapshot):
        info, connector = self.connected(backend, snapshot)
        device = backend.open(info)
        try:
            driver.delete_snapshot(snapshot)
        except SnapshotIsBusy:
            assert device.read(0, 6) == b"before"
        else:
            if info["driver_volume_type"] != "local":
                require_no_access(backend, info, device)
        driver.terminate_connection_snapshot(snapshot, connector)
        driver.remove_export_snapshot(backend.context, snapshot)

    def test_absent_snapshot_is_an_error_of_the_driver(self, backend, driver):
        volume = backend.created()
        with pytest.raises(DriverError):
            self.connected(backend, backend.snapshot(volume))

    def test_nothing_to_take_away_is_success(self, backend, driver, snapshot):
        driver.terminate_connection_snapshot(snapshot, CONNECTOR)
        driver.remove_export_snapshot(backend.context, snapshot)


class TestRepetition:
    """Many calls leave no more open files and threads than one."""

    @pytest.mark.plain
    def test_open_files_and_threads_do_not_grow(self, backend, driver):
        def cycle():
            volume = backend.created()
            backend.read(volume, 0, 512)
            snapshot = backend.snapped(volume)
            driver.delete_snapshot(snapshot)
            driver.delete_volume(volume)
            driver.get_volume_stats(True)

        cycle()
        files, threads = leaks.descriptors(), threading.active_count()
        for _ in range(CYCLES):
            cycle()

        assert leaks.descriptors() < files + CYCLES
        assert threading.active_count() < threads + CYCLES


class TestAttachAndDetach:
    """Learn that the compute side has attached the volume, or detaches it."""

    @pytest.mark.parametrize(
        ("instance", "host"), [("11111111-2222-3333-4444-555555555555", None), (None, "compute-1")]
    )
    def test_both_kinds_of_attachment_are_accepted(self, backend, driver, instance, host):
        volume = backend.created()
        context = backend.context

        assert driver.attach_volume(context, volume, instance, host, "/dev/vdb") is None
        assert driver.detach_volume(context, volume) is None

    def test_data_stays(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"kept")

        driver.attach_volume(backend.context, volume, None, "compute-1", "/dev/vdb")
        driver.detach_volume(backend.context, volume)

        assert backend.read(volume, 0, 4) == b"kept"
