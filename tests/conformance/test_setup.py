# SPDX-License-Identifier: Apache-2.0
"""Set-up, statistics, and the list of tested drivers. Source: seeds, VolumeDriverCore."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from drivers.interface.errors import DriverError
from drivers.interface.volume import VolumeDriver

from . import cinders
from .backend import HOST, configuration
from .checks import secrets
from .loading import load

REQUIRED = {
    "volume_backend_name": str,
    "vendor_name": str,
    "driver_version": str,
    "storage_protocol": str,
    "total_capacity_gb": (int, float, str),
    "free_capacity_gb": (int, float, str),
}

OPTIONAL = {
    "reserved_percentage": int,
    "location_info": str,
    "QoS_support": bool,
    "provisioned_capacity_gb": (int, float),
    "max_over_subscription_ratio": (int, float, str),
    "thin_provisioning_support": bool,
    "thick_provisioning_support": bool,
    "total_volumes": int,
    "filter_function": (str, type(None)),
    "goodness_function": (str, type(None)),
    "multiattach": bool,
    "sparse_copy_volume": bool,
    "new_volumes_are_zero": bool,
    "online_extend_support": bool,
    "pools": list,
}


class TestClass:
    """The class of a driver."""

    def test_it_is_a_complete_volume_driver(self, case):
        driver = load(case.driver)

        assert issubclass(driver, VolumeDriver)
        assert driver.__abstractmethods__ == frozenset()

    def test_construction_touches_nothing(self, case, driver_class, options, tmp_path):
        moved = {**options}
        if "local_path" in options:
            moved["local_path"] = str(tmp_path / "absent")

        driver_class(configuration(driver_class, moved), host=HOST)

        assert not (tmp_path / "absent").exists()


class TestDoSetup:
    """Called once, before anything else; each attempt has an instance of its own."""

    def test_a_second_instance_sets_itself_up(self, backend):
        assert backend.start() is not backend.driver

    def test_a_second_instance_leaves_volumes_alone(self, backend):
        volume = backend.created()
        backend.write(volume, 0, b"kept")

        backend.driver = backend.start()

        assert backend.read(volume, 0, 4) == b"kept"


class TestCheckForSetupError:
    """Called after do_setup; the driver is ready when it returns."""

    def test_a_directory_that_cannot_be_used_is_an_error(self, driver_class, options, tmp_path):
        """Where an option is the directory of everything, as ``something_path``."""
        (tmp_path / "file").write_text("no directory")
        named = [name for name, value in options.items() if str(value).startswith("/")]
        if not named or cinders.is_cinders(driver_class):
            pytest.skip("no option of the driver names a directory")
        broken = {**options, named[0]: str(tmp_path / "file")}

        driver = driver_class(configuration(driver_class, broken), host=HOST)

        with pytest.raises((DriverError, OSError)):
            driver.do_setup(None)
            driver.check_for_setup_error()

    def test_driver_is_ready_afterwards(self, driver):
        assert driver.get_volume_stats()["driver_version"]

    def test_it_leaves_nothing_behind(self, backend):
        before = backend.driver.get_volume_stats(refresh=True).get("total_volumes")

        again = backend.start()

        assert again.get_volume_stats(refresh=True).get("total_volumes") == before


class TestGetVolumeStats:
    """The backend's capacity and features."""

    def test_answer_is_fit_for_the_bus(self, driver):
        stats = dict(driver.get_volume_stats())

        assert json.loads(json.dumps(stats, allow_nan=False)) == stats

    @pytest.mark.plain
    def test_any_thread_may_ask(self, driver):
        with ThreadPoolExecutor(1) as another:
            stats = another.submit(driver.get_volume_stats, refresh=True).result()

        assert stats["storage_protocol"] == driver.get_volume_stats()["storage_protocol"]

    def test_answer_has_no_secret(self, backend, driver):
        hidden = secrets.of_options(type(driver).OPTS, backend.options)

        assert secrets.within(json.dumps(dict(driver.get_volume_stats())), hidden) is None

    def test_answer_is_not_changed_by_its_reader(self, driver):
        first = driver.get_volume_stats()
        try:
            first["total_capacity_gb"] = -1
        except TypeError:
            return  # it cannot be changed

        assert driver.get_volume_stats()["total_capacity_gb"] != -1

    def test_reserved_is_a_percentage(self, driver):
        assert 0 <= driver.get_volume_stats().get("reserved_percentage", 0) <= 100

    def test_ratio_is_a_number_above_zero_or_auto(self, driver):
        ratio = driver.get_volume_stats().get("max_over_subscription_ratio", "auto")

        assert ratio == "auto" or float(ratio) > 0

    def test_deleted_volumes_are_counted_no_more(self, backend, driver):
        before = driver.get_volume_stats(refresh=True)
        if "total_volumes" not in before:
            pytest.skip(f"{type(driver).__name__} does not count volumes")
        volume = backend.created()

        driver.delete_volume(volume)

        assert driver.get_volume_stats(True)["total_volumes"] == before["total_volumes"]

    def test_a_name_of_the_configuration_is_taken_over(self, case, driver_class, options):
        if cinders.is_cinders(driver_class):
            pytest.skip("the section of a driver of Cinder has one name")
        renamed = {**options, "volume_backend_name": "another"}
        driver = driver_class(configuration(driver_class, renamed), host=HOST)
        driver.do_setup(None)
        driver.check_for_setup_error()

        # Without a refresh: nothing is kept for two backends in one process together.
        assert driver.get_volume_stats()["volume_backend_name"] == "another"

    @pytest.mark.parametrize("field", REQUIRED)
    def test_required_field_is_there(self, driver, field):
        assert isinstance(driver.get_volume_stats()[field], REQUIRED[field])

    @pytest.mark.parametrize("field", OPTIONAL)
    def test_optional_field_is_of_its_kind(self, driver, field):
        stats = driver.get_volume_stats()
        if field not in stats:
            pytest.skip(f"{type(driver).__name__} does not report {field}")

        assert isinstance(stats[field], OPTIONAL[field])
        assert isinstance(stats[field], bool) == (OPTIONAL[field] is bool)

    @pytest.mark.parametrize("field", ["total_capacity_gb", "free_capacity_gb"])
    def test_capacity_is_gib_or_one_of_two_words(self, driver, field):
        value = driver.get_volume_stats()[field]

        assert value in ("unknown", "infinite") or value >= 0

    def test_free_is_at_most_total(self, driver):
        stats = driver.get_volume_stats()
        if isinstance(stats["total_capacity_gb"], str):
            pytest.skip(f"{type(driver).__name__} reports no figures")

        assert stats["free_capacity_gb"] <= stats["total_capacity_gb"]

    def test_backend_name_is_the_configured_one(self, driver):
        assert driver.get_volume_stats()["volume_backend_name"] == "conformance"

    def test_protocol_is_short(self, driver):
        assert 0 < len(driver.get_volume_stats()["storage_protocol"]) <= 16

    def test_pools_have_names(self, driver):
        pools = driver.get_volume_stats().get("pools", [])

        names = [pool["pool_name"] for pool in pools]
        assert all(isinstance(name, str) and name for name in names)
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize("field", ["total_capacity_gb", "free_capacity_gb"])
    def test_pools_have_capacities(self, driver, field):
        for pool in driver.get_volume_stats().get("pools", []):
            assert pool[field] in ("unknown", "infinite") or pool[field] >= 0

    @pytest.mark.plain
    def test_answer_is_kept_until_a_refresh(self, backend):
        driver = backend.driver
        before = driver.get_volume_stats(refresh=True)
        if "total_volumes" not in before:
            pytest.skip(f"{type(driver).__name__} does not count volumes")

        backend.created()

        assert driver.get_volume_stats()["total_volumes"] == before["total_volumes"]
        assert driver.get_volume_stats(True)["total_volumes"] == before["total_volumes"] + 1

    def test_provisioned_grows_by_the_size_of_a_volume(self, backend):
        before = backend.driver.get_volume_stats(refresh=True)
        if "provisioned_capacity_gb" not in before:
            pytest.skip(f"{type(backend.driver).__name__} does not report what it promised")

        backend.created(3)

        after = backend.driver.get_volume_stats(refresh=True)
        grown = after["provisioned_capacity_gb"] - before["provisioned_capacity_gb"]
        assert grown == pytest.approx(3, abs=0.1)


class TestActiveActive:
    """Several hosts of a cluster, each with an instance; of a driver that announces it."""

    @pytest.fixture(autouse=True)
    def _announced(self, driver_class):
        if not driver_class.SUPPORTS_ACTIVE_ACTIVE:
            pytest.skip("the driver serves one host (SUPPORTS_ACTIVE_ACTIVE)")

    def test_any_instance_works_on_the_objects_of_another(self, backend):
        volume = backend.created()
        backend.write(volume, 0, b"kept")
        first, second = backend.driver, backend.start()
        backend.driver = second
        second.extend_volume(volume, 2)
        snapshot = backend.snapped(volume)

        backend.driver = first
        assert backend.read(volume, 0, 4) == b"kept"
        first.delete_snapshot(snapshot)
        second.delete_volume(volume)

    def test_a_deletion_by_another_instance_is_a_deletion(self, backend):
        volume = backend.created()
        other = backend.start()
        other.delete_volume(volume)

        backend.driver.delete_volume(volume)
        other.create_volume(volume)
