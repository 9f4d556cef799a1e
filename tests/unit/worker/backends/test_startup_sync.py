# SPDX-License-Identifier: Apache-2.0
"""Rows and exports at the start of a backend: spec/service §4, steps 8 and 9."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from oslo_utils import timeutils

from drivers.interface.optional import Reporting
from tests.unit.db.conftest import database, database_url, records
from worker.backends.startup_sync import AT_ONCE, StartupSync, correct, has_data
from worker.db.criteria import BackendRows
from worker.db.records import Records

__all__ = ["database", "database_url", "records"]

HOST = "h1@b1"
POOL_HOST = f"{HOST}#p"


class Driver(Reporting):
    """Records the calls; ``pools`` and ``errors`` are by volume."""

    def __init__(self) -> None:
        self.exported: list[str] = []
        self.pools: dict[str, str] = {}
        self.errors: dict[str, Exception] = {}

    def get_pool(self, volume: Any) -> str | None:
        return self.pools.get(volume.id)

    def ensure_export(self, context: Any, volume: Any) -> None:
        assert context.is_admin
        self.exported.append(volume.id)
        if volume.id in self.errors:
            raise self.errors[volume.id]


class Correcting(Driver):
    """A driver that corrects rows."""

    answer: Any = None

    def update_provider_info(self, volumes: Any, snapshots: Any) -> Any:
        self.seen = sorted(row.id for row in (*volumes, *snapshots))
        return self.answer


class Queue:
    """Notes whose turn it was, and runs a function before each turn."""

    def __init__(self) -> None:
        self.held_names: list[str] = []
        self.before = lambda _name: None

    @contextmanager
    def turn(self, names: list[str], *, owner: str) -> Iterator[None]:
        [name] = names
        self.before(name)
        self.held_names.append(name)
        yield


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def sync(records: Records, queue: Queue, stopping: threading.Event) -> StartupSync:
    return StartupSync(records, queue, BackendRows(HOST), stopping)  # type: ignore[arg-type]


class TestExportsOfACluster:
    def test_a_host_restores_its_own_and_leaves_the_status(
        self, records, queue, stopping, monkeypatch
    ):
        backend = BackendRows(HOST, "c1@b1")
        for name, host in (("mine", POOL_HOST), ("theirs", "h2@b1#p")):
            columns = {"host": host, "cluster_name": "c1@b1#p", "status": "in-use"}
            records.volumes.create(id=name, **columns)
        driver = Driver()
        driver.errors["mine"] = OSError("no")
        StartupSync(records, queue, backend, stopping).run(driver)  # type: ignore[arg-type]

        assert driver.exported == ["mine"]
        assert records.volumes.get("mine").status == "in-use"


class TestExports:
    def test_those_of_volumes_in_use_are_restored_under_their_locks(self, records, sync, queue):
        for number, status in enumerate(("in-use", "available", "in-use", "error")):
            records.volumes.create(id=f"v{number}", status=status, host=POOL_HOST)
        records.volumes.create(id="other", status="in-use", host="h1@b2#p")
        driver = Driver()
        sync.run(driver)

        assert sorted(driver.exported) == sorted(queue.held_names) == ["v0", "v2"]

    def test_a_volume_that_is_being_detached_is_exported_too(self, records, sync):
        records.volumes.create(id="v1", status="detaching", host=POOL_HOST)
        records.attachments.create(volume_id="v1", attach_status="attached")
        driver = Driver()
        sync.run(driver)

        assert driver.exported == ["v1"]

    def test_one_that_cannot_be_restored_is_in_error_and_the_others_go_on(self, records, sync):
        for volume_id in ("v1", "v2"):
            records.volumes.create(id=volume_id, status="in-use", host=POOL_HOST)
        driver = Driver()
        driver.errors["v1"] = OSError("no target")
        sync.run(driver)

        assert sorted(driver.exported) == ["v1", "v2"]
        assert [records.volumes.get(v).status for v in ("v1", "v2")] == ["error", "in-use"]

    @pytest.mark.parametrize("change", ["deleted", "detached"])
    def test_a_change_that_came_first_is_seen_under_the_lock(self, records, sync, queue, change):
        records.volumes.create(id="v1", status="in-use", host=POOL_HOST)
        queue.before = (
            records.volumes.destroy
            if change == "deleted"
            else lambda volume_id: records.volumes.update(volume_id, status="available")
        )
        driver = Driver()
        sync.run(driver)

        assert driver.exported == []

    def test_a_stop_ends_it_early(self, records, sync, stopping):
        for number in range(AT_ONCE):
            records.volumes.create(id=f"v{number}", status="in-use", host=POOL_HOST)
        stopping.set()
        driver = Driver()
        sync.run(driver)

        assert driver.exported == []

    def test_it_runs_on_a_thread_of_its_own(self, records, sync):
        records.volumes.create(id="v1", status="in-use", host=POOL_HOST)
        done, driver = threading.Event(), Driver()
        driver.ensure_export = lambda *_: done.set()  # type: ignore[method-assign]
        sync.start(driver)

        assert done.wait(30)
        for thread in threading.enumerate():
            if thread.name == "startup-sync":
                thread.join(30)


class TestHosts:
    def test_a_host_without_a_pool_gets_the_drivers(self, records, sync):
        records.volumes.create(id="v1", host=HOST)
        records.volumes.create(id="v2", host=HOST)
        driver = Driver()
        driver.pools = {"v1": "gold"}
        sync.run(driver)

        assert records.volumes.get("v1").host == f"{HOST}#gold"
        assert records.volumes.get("v2").host == HOST

    def test_a_host_with_a_pool_keeps_it(self, records, sync):
        records.volumes.create(id="v1", host=POOL_HOST)
        driver = Driver()
        driver.pools = {"v1": "gold"}
        sync.run(driver)

        assert records.volumes.get("v1").host == POOL_HOST

    def test_a_driver_that_fails_ends_it_with_a_line(self, records, sync, caplog, monkeypatch):
        records.volumes.create(id="v1", host=HOST)
        driver = Driver()
        monkeypatch.setattr(driver, "get_pool", lambda _volume: 1 / 0)
        sync.run(driver)

        assert f"not all exports of {HOST} were checked" in caplog.messages


class TestCorrections:
    @pytest.fixture(autouse=True)
    def _rows(self, records: Records) -> None:
        records.volumes.create(id="v1", host=POOL_HOST)
        records.snapshots.create(id="s1", volume_id="v1")
        records.volumes.create(id="other", host="h1@b2#p")

    def test_the_driver_sees_the_rows_of_its_host(self, records):
        driver = Correcting()
        correct(records, driver, BackendRows(HOST))

        assert driver.seen == ["s1", "v1"]

    def test_corrections_are_stored(self, records):
        driver = Correcting()
        driver.answer = (
            [{"id": "v1", "provider_location": "there"}],
            [{"id": "s1", "provider_id": "7"}],
        )
        correct(records, driver, BackendRows(HOST))

        assert records.volumes.get("v1").provider_location == "there"
        assert records.snapshots.get("s1").provider_id == "7"

    @pytest.mark.parametrize("answer", [None, (None, None), ([], []), ({}, "text")])
    def test_without_corrections_rows_stay(self, records, answer):
        driver = Correcting()
        driver.answer = answer
        correct(records, driver, BackendRows(HOST))

        assert records.volumes.get("v1").updated_at is None

    def test_a_driver_without_the_method_is_shown_no_rows(self, records, monkeypatch):
        monkeypatch.setattr(records.volumes, "on_host", lambda _host: 1 / 0)

        correct(records, Driver(), BackendRows(HOST))


class TestHasData:
    @pytest.mark.parametrize("status", ["available", "in-use", "extending"])
    def test_a_volume_that_was_made(self, records, status):
        records.volumes.create(id="v1", status=status, host=POOL_HOST)
        assert has_data(records, BackendRows(HOST))

    @pytest.mark.parametrize("status", ["creating", "downloading", "error", "deleting"])
    def test_a_volume_that_may_have_no_object(self, records, status):
        records.volumes.create(id="v1", status=status, host=POOL_HOST)
        assert not has_data(records, BackendRows(HOST))

    @pytest.mark.parametrize("status", ["deleting", "error_deleting"])
    def test_a_deletion_of_a_volume_that_was_made(self, records, status):
        now = timeutils.utcnow()
        records.volumes.create(id="v1", status=status, host=POOL_HOST, launched_at=now)
        assert has_data(records, BackendRows(HOST))
