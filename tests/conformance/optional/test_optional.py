# SPDX-License-Identifier: Apache-2.0
"""Optional methods of drivers. Source: spec/interfaces §8."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from drivers.interface.errors import DriverError
from drivers.interface.records import Record
from drivers.interface.replication import Replicating

from ..backend import HOST
from ..checks import answers
from ..test_volumes import GIB, is_update


class TestUpdateProviderInfo:
    """Correct columns of existing rows at the start."""

    def test_answer_is_two_lists_or_none(self, backend, driver):
        volume = backend.created()
        snapshot = backend.snapped(volume)

        volumes, snapshots = driver.update_provider_info([volume], [snapshot])

        assert answers.member_updates(volumes, [volume]) is None
        assert answers.member_updates(snapshots, [snapshot]) is None
        for entry in [*(volumes or ()), *(snapshots or ())]:
            assert "status" not in entry

    def test_rows_without_objects_are_no_error(self, backend, driver):
        volume = backend.volume()
        volumes, _ = driver.update_provider_info([volume], [backend.snapshot(volume)])

        assert answers.member_updates(volumes, [volume]) is None

    def test_volume_stays_reachable_with_the_new_columns(self, backend, driver):
        volume, other = backend.created(), backend.created()
        for number, one in enumerate((volume, other)):
            backend.write(one, 0, b"%d" % number)
        volumes, _ = driver.update_provider_info([volume, other], [])
        for entry in volumes or ():
            columns = {name: entry[name] for name in entry if name != "id"}
            backend._known[entry["id"]].update(columns)

        assert [backend.read(one, 0, 1) for one in (volume, other)] == [b"0", b"1"]


class TestGetPool:
    """Return the pool of a volume whose row does not say it."""

    def test_answer_is_a_name_or_none(self, backend, driver):
        pool = driver.get_pool(backend.created())

        assert pool is None or (isinstance(pool, str) and pool)

    def test_pool_is_one_of_the_statistics(self, backend, driver):
        pools = driver.get_volume_stats(True).get("pools") or []
        if not pools:
            pytest.skip(f"{type(driver).__name__} does not report pools")

        assert driver.get_pool(backend.created()) in {pool["pool_name"] for pool in pools}


class TestAcceptTransfer:
    """Learn that the volume gets another owner."""

    def test_answer_is_an_update_or_none(self, backend, driver):
        volume = backend.created()

        answer = driver.accept_transfer(backend.context, volume, "user 2", "project 2")

        assert is_update(answer, volume)

    def test_data_stays(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"kept")

        driver.accept_transfer(backend.context, volume, "user 2", "project 2")

        assert backend.read(volume, 0, 4) == b"kept"


@pytest.mark.announced("retype")
class TestRetype:
    """Change the volume in place so that it fits another type."""

    NOWHERE: ClassVar[dict[str, Any]] = {
        "host": "elsewhere@unknown#pool",
        "capabilities": {
            "volume_backend_name": "unknown",
            "vendor_name": "nobody",
            "driver_version": "0",
            "storage_protocol": "carrier pigeon",
        },
    }

    def test_answer_says_whether_it_was_done(self, backend, driver):
        volume = backend.created()
        diff = {"extra_specs": {"key": ["old", "new"]}, "qos_specs": {}, "encryption": {}}
        new_type = Record("volume_type", {"id": "type 2", "name": "t", "extra_specs": {}})

        for _ in range(2):  # any call may be repeated
            answer = driver.retype(backend.context, volume, new_type, diff, self.NOWHERE)
            done, update = answer if isinstance(answer, tuple) else (answer, None)

            assert done in (True, False)
            assert is_update(update, volume)

    @pytest.mark.parametrize("kind", ["extra_specs", "qos_specs", "encryption"])
    def test_data_stays_whatever_the_answer(self, backend, driver, kind):
        volume = backend.created()
        backend.write(volume, 0, b"kept")
        empty = {"extra_specs": {}, "qos_specs": {}, "encryption": {}}
        diff = {**empty, kind: {"key": [None, "new"]}}
        new_type = Record("volume_type", {"id": "type 2", "name": "t", "extra_specs": {}})

        driver.retype(backend.context, volume, new_type, diff, self.NOWHERE)

        assert backend.read(volume, 0, 4) == b"kept"
        assert backend.size(volume) == GIB


@pytest.mark.announced("migrate_volume")
class TestMigrateVolume:
    """Move the volume to another backend without the worker's help."""

    def test_an_unknown_backend_is_left_to_the_worker(self, backend, driver):
        volume = backend.created()

        backend.write(volume, 0, b"kept")

        moved, update = driver.migrate_volume(backend.context, volume, TestRetype.NOWHERE)

        assert (moved, update or None) == (False, None)
        assert backend.read(volume, 0, 4) == b"kept"
        driver.delete_volume(volume)

    def test_its_own_backend_is_refused_or_leaves_the_volume(self, backend, driver):
        volume = backend.created()
        backend.write(volume, 0, b"kept")
        stats = dict(driver.get_volume_stats(True))
        here = {"host": f"{HOST}#conformance", "capabilities": stats}

        for _ in range(2):
            moved, update = driver.migrate_volume(backend.context, volume, here)
            if moved:
                backend.updated(volume, update)

        assert backend.read(volume, 0, 4) == b"kept"

    @pytest.mark.parametrize("capabilities", [{}, None, {"location_info": 7}], ids=str)
    def test_capabilities_from_the_bus_are_not_trusted(self, backend, driver, capabilities):
        volume = backend.created()
        backend.write(volume, 0, b"kept")
        host = {"host": "elsewhere@unknown#pool", "capabilities": capabilities}

        try:
            moved, _ = driver.migrate_volume(backend.context, volume, host)
        except DriverError:
            moved = False

        assert not moved
        assert backend.read(volume, 0, 4) == b"kept"


class TestFlags:
    """Questions of the worker before an operation."""

    @pytest.mark.parametrize(
        "method",
        [
            "secure_file_operations_enabled",
            "snapshot_revert_use_temp_snapshot",
            "backup_use_temp_snapshot",
        ],
    )
    def test_answer_is_a_boolean(self, driver, method):
        assert getattr(driver, method)() in (True, False)


class TestFreezing:
    """Learn that nothing is to be made or changed on the backend, and that it may be again."""

    def test_a_backend_that_was_thawed_serves_as_before(self, backend, driver):
        driver.freeze_backend(backend.context)
        driver.freeze_backend(backend.context)
        driver.thaw_backend(backend.context)

        assert backend.created()


class TestReplication:
    """Methods without which a backend, or a group, cannot go on elsewhere."""

    @pytest.mark.parametrize(
        ("method", "arguments"),
        [
            ("failover_host", ([], "second", [])),
            ("failover_completed", ("second",)),
            ("enable_replication", (None, [])),
            ("disable_replication", (None, [])),
            ("failover_replication", (None, [], "second")),
        ],
    )
    def test_what_is_not_announced_says_so(self, backend, driver, method, arguments):
        if any(method in vars(one) for one in type(driver).__mro__ if one is not Replicating):
            pytest.skip(f"{method} needs a target of replication")

        with pytest.raises(NotImplementedError):
            getattr(driver, method)(backend.context, *arguments)
