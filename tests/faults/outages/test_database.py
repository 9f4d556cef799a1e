# SPDX-License-Identifier: Apache-2.0
"""The database goes away while an operation stands at each boundary of its tasks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tests.conftest import require
from tests.faults.outages import kinds, work
from tests.faults.outages.lengths import LENGTHS, QUICK
from tests.functional.cloud import Cloud
from tests.servers import MariaDB, PostgreSQL, Servers

KINDS = {"mysql": "mariadb", "postgresql": "postgresql"}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["mysql", pytest.param("postgresql", marks=pytest.mark.full)])
def test_stopped_at_every_task_boundary(
    servers: Servers,
    make_cloud: Callable[..., Cloud],
    new_database: Callable[[str], str],
    gate: work.Gate,
    kind: str,
    length: float,
) -> None:
    require(MariaDB, PostgreSQL)
    cloud = make_cloud(new_database(kind))
    cloud.service.start()
    jobs = work.at_every_point(cloud, gate)
    outage = kinds.database_stopped(getattr(servers, KINDS[kind]))
    before = cloud.service.position()
    with outage.during():
        gate.open()
        time.sleep(length)
    work.check(cloud, jobs)

    log = cloud.service.text(before)
    work.told_once(log, outage, length - 3)
    work.quiet(log)


@pytest.mark.parametrize("kind", ["mysql", pytest.param("postgresql", marks=pytest.mark.full)])
def test_a_database_that_hangs(
    servers: Servers,
    make_cloud: Callable[..., Cloud],
    new_database: Callable[[str], str],
    kind: str,
) -> None:
    require(MariaDB, PostgreSQL)
    cloud = make_cloud(new_database(kind), module="worker.cmd.volume")
    cloud.service.start()
    jobs = [make(cloud) for make in work.OPERATIONS]
    outage = kinds.database_frozen(getattr(servers, KINDS[kind]))
    for job in jobs:  # before: a message is made of rows
        job.send()
    outage.last(QUICK)
    work.check(cloud, jobs)
    work.quiet(cloud.service.text())


def test_connections_that_the_server_ends(
    servers: Servers, make_cloud: Callable[..., Cloud], new_database: Callable[[str], str]
) -> None:
    """A client then gets the error "MySQL server has gone away"."""
    require(MariaDB)
    cloud = make_cloud(new_database("mysql"), module="worker.cmd.volume")
    cloud.service.start()
    jobs = []
    for number in range(20):
        jobs.append(work.OPERATIONS[number % len(work.OPERATIONS)](cloud))
        jobs[-1].send()
        if number % 3 == 2:
            with cloud.database.reader() as connection:
                mine = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar()
                listed = connection.exec_driver_sql("SELECT id FROM information_schema.processlist")
                for (other,) in listed.all():
                    if other != mine:
                        with contextlib.suppress(sa.exc.DBAPIError):  # it has gone by itself
                            connection.exec_driver_sql(f"KILL {other}")
    cloud.database.dispose()
    work.check(cloud, jobs)
    work.quiet(cloud.service.text())


def test_deadlocks(make_cloud: Callable[..., Cloud], new_database: Callable[[str], str]) -> None:
    """Operations that lock the rows of one project's quota in turns with another client."""
    require(MariaDB)
    cloud = make_cloud(new_database("mysql"), module="worker.cmd.volume")
    cloud.service.start()
    jobs = [work.delete_volume(cloud) for _ in range(15)]
    rival = _Rival(cloud)
    rival.start()
    for job in jobs:
        job.send()
    try:
        work.check(cloud, jobs)
    finally:
        rival.stop()
    assert rival.rounds > 3


class _Rival:
    """Locks the volumes' rows in the other order, again and again, until a deadlock comes."""

    def __init__(self, cloud: Cloud) -> None:
        self.rounds = 0
        self._cloud = cloud
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._enough.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._enough.is_set():
            self.rounds += 1
            with (
                contextlib.suppress(sa.exc.DBAPIError),
                self._cloud.database.writer() as connection,
            ):
                connection.exec_driver_sql("SELECT id FROM quota_usages FOR UPDATE")
                time.sleep(0.01)
                connection.exec_driver_sql(
                    "UPDATE volumes SET updated_at = updated_at ORDER BY id DESC"
                )
