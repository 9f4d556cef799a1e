# SPDX-License-Identifier: Apache-2.0
"""Optional methods of drivers. Source: spec/interfaces §8."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pytest

from drivers.interface.records import Record
from drivers.interface.replication import Replicating
from tests.conformance.test_volumes import is_update


class TestUpdateProviderInfo:
    """Correct columns of existing rows at the start."""

    def test_answer_is_two_lists_or_none(self, backend, driver):
        volume = backend.created()
        snapshot = backend.snapped(volume)

        volumes, snapshots = driver.update_provider_info([volume], [snapshot])

        assert {entry["id"] for entry in volumes or ()} <= {volume.id}
        assert {entry["id"] for entry in snapshots or ()} <= {snapshot.id}


class TestGetPool:
    """Return the pool of a volume whose row does not say it."""

    def test_answer_is_a_name_or_none(self, backend, driver):
        pool = driver.get_pool(backend.created())

        assert pool is None or (isinstance(pool, str) and pool)


class TestAcceptTransfer:
    """Learn that the volume gets another owner."""

    def test_answer_is_an_update_or_none(self, backend, driver):
        volume = backend.created()

        answer = driver.accept_transfer(backend.context, volume, "user 2", "project 2")

        assert is_update(answer, volume)


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


@pytest.mark.announced("migrate_volume")
class TestMigrateVolume:
    """Move the volume to another backend without the worker's help."""

    def test_an_unknown_backend_is_left_to_the_worker(self, backend, driver):
        volume = backend.created()

        moved, update = driver.migrate_volume(backend.context, volume, TestRetype.NOWHERE)

        assert (moved, update or None) == (False, None)
        driver.delete_volume(volume)


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


class TestCloneImage:
    """Create a volume from an image without copying its data."""

    def test_unknown_location_is_not_cloned(self, backend, driver):
        volume, image, nowhere = backend.volume(), {"id": "image"}, (None, None)
        first = next(iter(inspect.signature(driver.clone_image).parameters))

        if first == "context":
            answer = driver.clone_image(backend.context, volume, nowhere, image, None)
        else:
            answer = driver.clone_image(volume, nowhere, "image", image, None)

        assert answer in (None, (None, False), ({}, False))


class TestImageCopies:
    """Methods without which the worker copies through a connection."""

    @pytest.mark.parametrize("method", ["copy_image_to_volume", "copy_volume_to_image"])
    def test_what_is_not_announced_says_so(self, backend, driver, method):
        volume = backend.created()
        if method in vars(type(driver)):
            pytest.skip(f"{method} needs an image service: its own issue")

        with pytest.raises(NotImplementedError):
            getattr(driver, method)(backend.context, volume, None, {})


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
