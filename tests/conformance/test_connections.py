# SPDX-License-Identifier: Apache-2.0
"""Connections and exports. Source: seeds, VolumeDriverCore; spec/interfaces §2.2 and §8."""

from __future__ import annotations

import json

import pytest

from drivers.interface.errors import DriverError, InvalidConnectorException
from tests.conformance.backend import CONNECTOR

OTHER = {**CONNECTOR, "host": "elsewhere", "initiator": "iqn.2026-11.org.example:other"}


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
        assert isinstance(updates.get("set_values", {}), dict)
        assert isinstance(updates.get("remove_values", []), list)

    def test_what_is_written_is_read_after_another_connection(self, backend):
        volume = backend.created()
        backend.write(volume, 4096, b"kept")

        assert backend.read(volume, 4096, 4) == b"kept"

    def test_absent_volume_is_an_error_of_the_driver(self, backend, driver):
        backend.open(backend.connect(backend.created()))

        with pytest.raises(DriverError):
            driver.initialize_connection(backend.volume(), CONNECTOR)


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
        for connector in (CONNECTOR, OTHER):
            backend.connect(volume, connector)

        driver.terminate_connection(volume, None)

        driver.remove_export(backend.context, volume)
        driver.delete_volume(volume)

    def test_another_connector_keeps_its_access(self, backend, driver):
        if not driver.get_volume_stats().get("multiattach"):
            pytest.skip(f"{type(driver).__name__} does not announce multiattach")
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

    def test_volume_can_be_deleted_afterwards(self, backend, driver):
        volume = backend.created()
        backend.connect(volume)
        driver.remove_export(backend.context, volume)
        driver.remove_export(backend.context, volume)

        driver.delete_volume(volume)


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
