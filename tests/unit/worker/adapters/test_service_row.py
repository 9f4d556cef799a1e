# SPDX-License-Identifier: Apache-2.0
"""The service's own row, who follows a failover, and what the journal says is under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.errors import NotFound
from flows.volume import create
from tests.unit.flows.orphans import HOST, WHO, Left
from worker.adapters.service_row import BackendServiceRow
from worker.journal.journal import Journal
from worker.recovery.orphaned_volumes import OrphanedVolumes
from worker.rpc.clients.sender import BusUnavailable
from worker.rpc.operation import Operation

FAILED_OVER = {
    "replication_status": "failed-over",
    "active_backend_id": "second",
    "disabled": True,
    "disabled_reason": "failed-over",
}


class Driver:
    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.told: list[Any] = []

    def failover_completed(self, context: Any, active: Any) -> None:
        self.told.append(active)
        if self.error:
            raise self.error


class Given:
    """A standing and what stands around it."""

    def __init__(self, directory: Path) -> None:
        self.left = Left(directory)
        self.journal = Journal(f"sqlite:///{directory}/journal.sqlite")
        self.journal.upgrade()
        self.sent: list[tuple[str, str, Any]] = []
        self.submitted: list[tuple[Any, Any]] = []
        self.renewed = threading.Event()
        self.driver, self.processes = Driver(), 1
        self.broken: BaseException | None = None
        self.backend: Any = SimpleNamespace(
            name="backend",
            host=HOST,
            any_driver=lambda: self.driver,
            renew=lambda _stopping: self.renewed.set(),
        )
        self.standing = BackendServiceRow(
            self.left.records,
            self.backend,
            lambda: self.processes,
            lambda: self,  # type: ignore[arg-type, return-value]
            lambda: self.journal,
            lambda *message: self.submitted.append(message),
            threading.Event(),
        )
        self.standing.service_id = self.left.ours

    def cast(self, request: Any, host: str, method: str, **args: Any) -> None:
        if self.broken:
            raise self.broken
        self.sent.append((host, method, args["updates"]))

    def cluster(self) -> None:
        self.left.records.services.ensure(**WHO, cluster="c@backend")

    def row(self, *names: str) -> tuple[Any, ...]:
        return tuple(self.standing.get()[name] for name in names)

    def close(self) -> None:
        self.journal.close()
        self.left.database.dispose()


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Given]:
    made = Given(tmp_path)
    yield made
    made.close()


class TestSpread:
    def test_one_process_has_nobody_to_tell(self, given: Given) -> None:
        given.standing.spread(**FAILED_OVER)

        assert given.sent == []

    def test_several_processes_tell_one_another(self, given: Given) -> None:
        given.processes = 2
        given.standing.spread(**FAILED_OVER, report_count=7)

        assert given.sent == [(HOST, "failover_completed", FAILED_OVER)]

    def test_a_cluster_has_a_row_and_other_hosts(self, given: Given) -> None:
        given.cluster()
        given.standing.spread(**FAILED_OVER)

        assert given.sent == [("c@backend", "failover_completed", FAILED_OVER)]

    def test_a_bus_that_is_away_fails_nothing(self, given: Given) -> None:
        given.processes, given.broken = 2, BusUnavailable("away")
        given.standing.spread(**FAILED_OVER)


class TestTakeOver:
    def test_who_has_done_it_does_not_do_it_again(self, given: Given) -> None:
        given.processes = 2
        given.standing.spread(**FAILED_OVER)
        given.standing.take_over(FAILED_OVER)

        assert not given.renewed.wait(0.1)

    def test_another_process_makes_its_driver_anew(self, given: Given) -> None:
        given.standing.take_over(FAILED_OVER)

        assert given.renewed.wait(5)
        assert given.driver.told == []
        assert given.row("replication_status") == ("not-capable",)  # the other one has written it

    def test_a_host_of_the_cluster_tells_its_driver(self, given: Given) -> None:
        given.cluster()
        given.standing.take_over({**FAILED_OVER, "report_count": 7, "host": "x"})

        assert given.driver.told == ["second"]
        assert given.row("replication_status", "disabled", "host") == ("failed-over", True, HOST)

    def test_a_driver_that_cannot_is_made_anew(self, given: Given) -> None:
        given.cluster()
        given.driver.error = NotImplementedError()
        given.standing.take_over(FAILED_OVER)

        assert given.renewed.wait(5)
        assert given.row("replication_status") == ("failed-over",)

    def test_a_driver_that_fails_disables_the_service(self, given: Given) -> None:
        given.cluster()
        given.driver.error = OSError("no")
        given.standing.take_over({**FAILED_OVER, "disabled": False})

        assert given.row("replication_status", "disabled") == ("error", True)


class TestStart:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("not-capable", "enabled"),
            ("disabled", "enabled"),
            (None, "enabled"),
            ("failover-error", "enabled"),
            ("failed-over", "failed-over"),
            ("failing-over", "failing-over"),
        ],
    )
    def test_the_replication_status(self, given: Given, before: Any, after: Any) -> None:
        given.standing.update(replication_status=before)
        given.standing.came_up(True)

        assert given.row("replication_status") == (after,)

    def test_one_that_does_not_replicate(self, given: Given) -> None:
        given.standing.came_up(False)

        assert given.row("replication_status") == ("disabled",)

    @pytest.mark.parametrize(("stored", "given_"), [(None, None), ("", None), ("second", "second")])
    def test_the_target_for_the_driver(self, given: Given, stored: Any, given_: Any) -> None:
        given.standing.update(active_backend_id=stored)

        assert given.standing.active_backend_id() == given_

    def test_a_row_that_is_gone(self, given: Given) -> None:
        given.standing.service_id = 99
        given.standing.came_up(True)

        assert given.standing.active_backend_id() is None
        with pytest.raises(NotFound, match="node@backend"):
            given.standing.get()


class TestUnderway:
    def accept(self, given: Given, method: str, kind: str, row_id: str, **args: Any) -> Any:
        operation = Operation(create.flow, (kind, row_id), args, method=method)
        return given.journal.accept(f"{len(method):032}", "slot", operation)

    def test_what_has_not_ended_and_what_it_names(self, given: Given) -> None:
        self.accept(given, "update_group", "group", "g1", add=["v1"], remove=[])
        self.accept(given, "revert_to_snapshot", "volume", "v2", snapshot_id="s1", spec={"id": "x"})

        assert {"g1", "v1", "v2", "s1"} <= given.standing.underway()
        assert "x" not in given.standing.underway()

    def test_not_what_has_ended(self, given: Given) -> None:
        detail = self.accept(given, "create_volume", "volume", "v1")
        given.journal.finish(detail, given.journal.progress(detail), None)

        assert given.standing.underway() == set()

    def test_not_what_a_clean_up_asks_for(self, given: Given) -> None:
        self.accept(given, "do_cleanup", "backend", "b", resource_id="v1")

        assert given.standing.underway() == set()

    def test_a_deletion_is_handed_in_as_a_message(self, given: Given) -> None:
        volume = given.left.records.volumes.get(given.left.volume("deleting"))
        given.standing.delete(volume)
        ((message, context),) = given.submitted

        assert (message["method"], message["args"]["cascade"]) == ("delete_volume", True)
        assert message["args"]["volume"]["versioned_object.data"]["id"] == volume.id
        assert context["is_admin"] is True
        assert len(message["_unique_id"]) == 32


class TestAbandoned:
    @pytest.fixture
    def abandoned(self, given: Given, monkeypatch: pytest.MonkeyPatch) -> OrphanedVolumes:
        for name in ("GRACE", "PAUSE"):
            monkeypatch.setattr(f"worker.recovery.orphaned_volumes.{name}", 0.01)
        return OrphanedVolumes(given.left.records, HOST, given.left.context)

    def test_it_waits_for_free_slots(self, given: Given, abandoned: OrphanedVolumes) -> None:
        looks = iter([False, False, True])
        volume = given.left.volume("extending")
        abandoned._settle(lambda: next(looks), threading.Event())

        assert given.left.status(volume) == "error_extending"
        assert list(looks) == []

    @pytest.mark.parametrize("up", [False, True])
    def test_it_waits_for_a_scheduler(
        self, given: Given, abandoned: OrphanedVolumes, up: bool
    ) -> None:
        who = {**WHO, "host": "s1", "binary": "cinder-scheduler"}
        scheduler = given.left.records.services.ensure(**who)
        if not up:
            long_ago = scheduler.updated_at.replace(year=2020)
            given.left.records.services.update(scheduler.id, updated_at=long_ago)
        volume, stopping = given.left.volume("extending"), threading.Event()
        threading.Timer(0.3, stopping.set).start()
        abandoned._settle(lambda: True, stopping)

        assert given.left.status(volume) == ("error_extending" if up else "extending")

    def test_a_stop_ends_the_waiting(self, given: Given, abandoned: OrphanedVolumes) -> None:
        volume, stopping = given.left.volume("extending"), threading.Event()
        stopping.set()
        abandoned._settle(lambda: True, stopping)

        assert given.left.status(volume) == "extending"

    def test_what_it_said_it_worked_on_goes_first(
        self, given: Given, abandoned: OrphanedVolumes
    ) -> None:
        volume = given.left.volume("creating", given.left.ours)
        abandoned.clean_up()

        assert given.left.status(volume) == "error"
