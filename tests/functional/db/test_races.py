# SPDX-License-Identifier: Apache-2.0
"""Who comes first: threads and processes that want the same row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from flows.errors import OverQuota, StatusChanged
from tests.servers import forked
from tests.unit.db.records.test_service_records import WHO
from tests.unit.db.world import PROJECT, Tables
from worker.db import models
from worker.db.database import Database
from worker.db.records import Records
from worker.db.sync import sync

MANY = 6
PATIENCE = 60  # seconds


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with our tables, on each kind of server."""
    made = Database(database_url)
    sync(made)
    yield made
    made.dispose()


@pytest.fixture
def race(database: Database) -> Callable[[Callable[[Records, int], Any]], list[Any]]:
    """A function that runs work at once on many connections and returns the results."""

    def run(work: Callable[[Records, int], Any]) -> list[Any]:
        start = threading.Barrier(MANY, timeout=PATIENCE)

        def one(number: int) -> Any:
            start.wait()
            try:
                return work(Records(database, limits={"volumes": 4}), number)
            except (StatusChanged, OverQuota) as error:
                return type(error)

        with ThreadPoolExecutor(MANY) as pool:
            return list(pool.map(one, range(MANY)))

    return run


def test_one_thread_changes_the_status(database, records, race):
    records.volumes.create(id="v1", status="available")

    def take(records, number):
        records.volumes.transition("v1", f"status-{number}", when=("available",))
        return number

    answers = race(take)
    [winner] = [answer for answer in answers if answer is not StatusChanged]
    assert records.volumes.get("v1").status == f"status-{winner}"


def take_in_process(url, start, number, answers):
    """Try to change the status; runs in a process of its own."""
    database = Database(url)
    start.wait(PATIENCE)
    try:
        Records(database).volumes.transition("v1", f"status-{number}", when=("available",))
        answers.put(number)
    except StatusChanged:
        answers.put(None)


def test_one_process_changes_the_status(database, database_url, records):
    records.volumes.create(id="v1", status="available")
    context = forked.processes()
    start, answers = context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=take_in_process, args=(database_url, start, number, answers))
        for number in range(3)
    ]
    for process in processes:
        process.start()
    found = [answers.get(timeout=PATIENCE) for _ in processes]
    for process in processes:
        process.join(PATIENCE)

    [winner] = [number for number in found if number is not None]
    assert records.volumes.get("v1").status == f"status-{winner}"


def test_a_row_is_made_once(database, records, race):
    answers = race(lambda r, number: r.volumes.create(id="v1", size=number).size)

    assert set(answers) == {records.volumes.get("v1").size}


def test_quota_is_given_back_once(database, records, tables, race):
    records.volumes.create(id="v1", project_id=PROJECT)
    tables.use(volumes=9)
    answers = race(lambda r, _: r.volumes.destroy("v1", release={"volumes": 1}))

    assert sorted(answers) == [False] * (MANY - 1) + [True]
    assert tables.used() == {"volumes": (8, 0)}


def test_a_limit_holds_although_nobody_counted_yet(database, tables, race):
    answers = race(lambda r, _: len(r.quotas.reserve(PROJECT, {"volumes": 1})))

    assert sorted(map(str, answers)) == sorted(map(str, [1] * 4 + [OverQuota] * (MANY - 4)))
    assert tables.used() == {"volumes": (0, 4)}


def test_a_reservation_ends_once(database, records, tables, race):
    ids = records.quotas.reserve(PROJECT, {"volumes": 1})
    race(lambda r, number: (r.quotas.commit if number % 2 else r.quotas.rollback)(ids))

    assert tables.used()["volumes"] in {(0, 0), (1, 0)}


def test_sister_processes_share_one_service(database, tables, race):
    answers = race(lambda r, _: r.services.ensure(**WHO).id)

    assert answers == [tables.row("services")["id"]] * MANY


def test_data_of_an_initiator_is_kept_once(database, records, race):
    race(lambda r, number: r.initiators.save("iqn", "ns", {"a": number, "b": number}, []))

    found = records.initiators.get("iqn", "ns")
    assert found["a"] == found["b"]


def test_a_work_row_is_offered_once(database, tables, race):
    race(lambda r, _: r.workers.offer("Volume", "v1", "creating"))

    assert tables.row("workers", resource_id="v1")["race_preventer"] == MANY - 1


def test_migrations_wait_for_each_other(database_url):
    def run(_number: int) -> None:
        database = Database(database_url)
        start.wait()
        sync(database)
        database.dispose()

    start = threading.Barrier(2, timeout=PATIENCE)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    database = Database(database_url)
    assert len(Tables(database).rows("volume_types")) == 1
    database.dispose()


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_a_deadlock_is_repeated(new_database, kind):
    """Two transactions take the same two rows in opposite order; both come to their end."""
    database = Database(new_database(kind))
    sync(database)
    records = Records(database)
    for volume_id in ("v1", "v2"):
        records.volumes.create(id=volume_id, size=0)
    both_hold_one = threading.Barrier(2, timeout=PATIENCE)
    tries: list[int] = []
    grow = sa.update(models.volumes).values(size=models.volumes.c.size + 1)

    def run(order: tuple[str, str]) -> None:
        first_try = iter([True])

        def work(connection: sa.Connection) -> None:
            tries.append(1)
            connection.execute(grow.where(models.volumes.c.id == order[0]))
            if next(first_try, False):
                both_hold_one.wait()
            connection.execute(grow.where(models.volumes.c.id == order[1]))

        database.write(work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, [("v1", "v2"), ("v2", "v1")]))

    assert [records.volumes.get(i).size for i in ("v1", "v2")] == [2, 2]
    # PostgreSQL looks for deadlocks in each of the two, and may end both.
    assert len(tries) in ((3, 4) if kind == "postgresql" else (3,))
    database.dispose()
