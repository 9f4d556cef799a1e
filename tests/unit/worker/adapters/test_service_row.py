# SPDX-License-Identifier: Apache-2.0
"""The row of a service, and the processes that follow a failover of its backend."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from flows.errors import NotFound
from tests.unit.flows.world.orphans import HOST, WHO, Left
from worker.adapters.service_row import BackendServiceRow, RegisteredService, RemoteFailovers
from worker.db import models
from worker.db.records import Records
from worker.rpc.clients.sender import BusUnavailable

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
    """A services row and its backend, with the messages that they send."""

    def __init__(self, directory: Path) -> None:
        self.left = Left(directory)
        self.sent: list[tuple[str, str, Any]] = []
        self.renewed = threading.Event()
        self.driver = Driver()
        self.broken: BaseException | None = None
        self.registered = registered(self.left.records)
        self.backend: Any = SimpleNamespace(
            host=HOST,
            any_driver=lambda: self.driver,
            renew=lambda _stopping: self.renewed.set(),
        )
        self.service = self.of_processes(1)

    def of_processes(self, count: int) -> BackendServiceRow:
        """Return the row of a backend that so many processes serve."""
        client: Any = self
        self.service = BackendServiceRow(self.left.records, self.registered, client, count)
        self.failovers = RemoteFailovers(self.service, self.backend, threading.Event())
        return self.service

    def cast(self, request: Any, host: str, method: str, **args: Any) -> None:
        if self.broken:
            raise self.broken
        self.sent.append((host, method, args["updates"]))

    def cluster(self) -> None:
        self.left.records.services.ensure(**WHO, cluster="c@backend")

    def cluster_row(self, *names: str) -> tuple[Any, ...]:
        found = self.left.records.services.cluster("c@backend", WHO["binary"])
        assert found is not None
        return tuple(found[name] for name in names)

    def row(self, *names: str) -> tuple[Any, ...]:
        return tuple(self.service.get()[name] for name in names)

    def delete_row(self) -> None:
        """Delete the row, as an operator does."""
        with self.left.database.writer() as connection:
            connection.execute(sa.delete(models.services))

    def close(self) -> None:
        self.left.database.dispose()


def registered(records: Records) -> RegisteredService:
    """Register the service of the backend."""
    return RegisteredService(
        records, HOST, WHO["binary"], zone=WHO["availability_zone"], rpc_version=WHO["rpc_version"]
    )


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Given]:
    made = Given(tmp_path)
    yield made
    made.close()


class TestHeartbeat:
    def foreign(self, given: Given) -> None:
        assert given.left.records.services.heartbeat(
            **{name: WHO[name] for name in ("host", "binary", "availability_zone")}
        )

    def test_another_service_of_the_same_name_is_logged_once(self, given, caplog) -> None:
        for _ in range(5):
            self.foreign(given)
            given.registered.heartbeat()

        [line] = [line for line in caplog.messages if "another service writes" in line]
        assert f"{WHO['binary']} {HOST}" in line

    def test_a_heartbeat_that_counted_twice_is_no_other_service(self, given, caplog) -> None:
        for _ in range(3):
            given.registered.heartbeat()
            self.foreign(given)
            given.registered.heartbeat()
            given.registered.heartbeat()

        assert "another service" not in caplog.text


class TestSpread:
    def test_one_process_has_nobody_to_tell(self, given: Given) -> None:
        given.service.spread(**FAILED_OVER)

        assert given.sent == []

    def test_several_processes_tell_one_another(self, given: Given) -> None:
        given.of_processes(2)
        given.service.spread(**FAILED_OVER, report_count=7)

        assert given.sent == [(HOST, "failover_completed", FAILED_OVER)]

    def test_a_cluster_has_a_row_and_other_hosts(self, given: Given) -> None:
        given.cluster()
        given.service.spread(**FAILED_OVER)

        assert given.sent == [("c@backend", "failover_completed", FAILED_OVER)]

    def test_a_bus_that_is_away_fails_nothing(self, given: Given) -> None:
        given.of_processes(2)
        given.broken = BusUnavailable("away")
        given.service.spread(**FAILED_OVER)

    def test_a_failure_goes_to_the_hosts_of_a_cluster_only(self, given: Given) -> None:
        failed = {"disabled": True, "replication_status": "failover-error"}
        given.of_processes(2)
        given.service.spread(**failed)
        assert given.sent == []

        given.cluster()
        given.service.spread(**failed)

        assert given.sent == [("c@backend", "failover_completed", failed)]
        assert given.cluster_row("replication_status", "disabled") == ("failover-error", True)


class TestMembers:
    """Freezing and thawing reach one host, and concern all of the cluster."""

    def test_the_rows_of_all_hosts_are_written(self, given: Given) -> None:
        given.cluster()
        services = given.left.records.services
        other = services.ensure(**{**WHO, "host": "other@backend"}, cluster="c@backend")
        third = services.ensure(**{**WHO, "host": "third@backend"}, cluster="d@backend")
        given.service.update_all(disabled=True, disabled_reason="frozen")

        assert given.row("disabled", "disabled_reason") == (True, "frozen")
        assert services.get(other.id).disabled_reason == "frozen"  # type: ignore[union-attr]
        assert services.get(third.id).disabled is False  # type: ignore[union-attr]

    def test_without_a_cluster_it_is_one_row(self, given: Given) -> None:
        other = given.left.records.services.ensure(**{**WHO, "host": "other@backend"})
        given.service.update_all(disabled=True)

        assert given.row("disabled") == (True,)
        assert given.left.records.services.get(other.id).disabled is False  # type: ignore[union-attr]


class TestTakeOver:
    def test_who_has_done_it_does_not_do_it_again(self, given: Given) -> None:
        given.of_processes(2)
        given.service.spread(**FAILED_OVER)
        given.failovers.follow(FAILED_OVER)

        assert not given.renewed.wait(0.1)

    def test_another_process_makes_its_driver_anew(self, given: Given) -> None:
        given.failovers.follow(FAILED_OVER)

        assert given.renewed.wait(5)
        assert given.driver.told == []
        assert given.row("replication_status") == ("not-capable",)  # the other one has written it

    def test_a_host_of_the_cluster_tells_its_driver(self, given: Given) -> None:
        given.cluster()
        given.failovers.follow({**FAILED_OVER, "report_count": 7, "host": "x"})

        assert given.driver.told == ["second"]
        assert given.row("replication_status", "disabled", "host") == ("failed-over", True, HOST)

    def test_a_failure_leaves_the_driver_at_its_target(self, given: Given) -> None:
        given.cluster()
        given.service.update(active_backend_id="second")
        given.failovers.follow({"replication_status": "failover-error", "disabled": True})

        assert given.driver.told == ["second"]
        assert given.row("replication_status") == ("failover-error",)

    def test_a_driver_that_cannot_is_made_anew(self, given: Given) -> None:
        given.cluster()
        given.driver.error = NotImplementedError()
        given.failovers.follow(FAILED_OVER)

        assert given.renewed.wait(5)
        assert given.row("replication_status") == ("failed-over",)

    def test_a_driver_that_fails_disables_the_service(self, given: Given) -> None:
        given.cluster()
        given.driver.error = OSError("no")
        given.failovers.follow({**FAILED_OVER, "disabled": False})

        assert given.row("replication_status", "disabled") == ("error", True)


class TestMissed:
    """A failover whose message has not come, as the host was starting."""

    def test_it_is_followed_later_and_once(self, given: Given) -> None:
        given.cluster()
        assert given.service.active_backend_id() is None
        given.left.records.services.update_cluster("c@backend", WHO["binary"], **FAILED_OVER)
        given.failovers.follow_missed()
        given.failovers.follow_missed()

        assert given.driver.told == ["second"]
        assert given.row("active_backend_id", "replication_status") == ("second", "failed-over")

    @pytest.mark.parametrize("columns", [{}, {"replication_status": "failing-over"}])
    def test_one_that_has_not_ended_is_none(self, given: Given, columns: dict[str, Any]) -> None:
        given.cluster()
        given.service.active_backend_id()
        now = {**FAILED_OVER, **columns} if columns else {"replication_status": "enabled"}
        given.left.records.services.update_cluster("c@backend", WHO["binary"], **now)
        given.failovers.follow_missed()

        assert given.driver.told == []

    def test_without_a_cluster_there_is_none(self, given: Given) -> None:
        given.service.update(active_backend_id="second")
        given.failovers.follow_missed()

        assert given.driver.told == []


class TestStartInACluster:
    """The cluster's row decides: another host may have failed over meanwhile."""

    @pytest.mark.parametrize(
        ("of_cluster", "after"),
        [
            ("not-capable", "enabled"),
            ("enabled", "enabled"),
            ("failover-error", "enabled"),
            ("failed-over", "failed-over"),
            ("failing-over", "failing-over"),
        ],
    )
    def test_the_status_of_the_cluster_stays_while_it_fails_over(
        self, given: Given, of_cluster: str, after: str
    ) -> None:
        given.cluster()
        services = given.left.records.services
        services.update_cluster("c@backend", WHO["binary"], replication_status=of_cluster)
        given.service.write_replication_status(True)

        assert given.cluster_row("replication_status") == (after,)
        assert given.row("replication_status") == (after,)

    def test_a_driver_is_made_for_the_target_of_the_cluster(self, given: Given) -> None:
        given.cluster()
        services = given.left.records.services
        services.update_cluster("c@backend", WHO["binary"], active_backend_id="second")

        assert given.row("active_backend_id") == (None,)
        assert given.service.active_backend_id() == "second"


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
        given.service.update(replication_status=before)
        given.service.write_replication_status(True)

        assert given.row("replication_status") == (after,)

    def test_one_that_does_not_replicate(self, given: Given) -> None:
        given.service.write_replication_status(False)

        assert given.row("replication_status") == ("disabled",)

    @pytest.mark.parametrize(("stored", "given_"), [(None, None), ("", None), ("second", "second")])
    def test_the_target_for_the_driver(self, given: Given, stored: Any, given_: Any) -> None:
        given.service.update(active_backend_id=stored)

        assert given.service.active_backend_id() == given_

    def test_a_row_that_is_gone(self, given: Given) -> None:
        given.delete_row()
        given.service.write_replication_status(True)

        assert given.service.active_backend_id() is None
        with pytest.raises(NotFound, match="node@backend"):
            given.service.get()


class TestRegistration:
    def test_a_second_process_finds_the_row_of_the_first(self, given: Given) -> None:
        second = registered(given.left.records)

        assert (second.id, second.uuid) == (given.registered.id, given.registered.uuid)

    def test_a_heartbeat_inserts_a_deleted_row_again(self, given: Given) -> None:
        given.left.records.services.ensure(**{**WHO, "host": "node@other"})
        before = (given.registered.id, given.registered.uuid)
        with given.left.database.writer() as connection:
            connection.execute(sa.update(models.services).values(deleted=True))
        given.registered.heartbeat()

        row = given.registered.get()
        assert (row.id, row.uuid) == (given.registered.id, given.registered.uuid) != before
        assert (row.host, row.binary, row.deleted) == (HOST, "cinder-volume", False)

    def test_work_is_claimed_for_the_present_row(self, given: Given) -> None:
        volume = given.left.volume("creating", None)
        work = given.left.records.work_of(given.registered)
        work.claim("Volume", volume, "creating")

        assert [one.service_id for one in work.left()] == [given.registered.id]
