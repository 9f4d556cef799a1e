# SPDX-License-Identifier: Apache-2.0
"""Commits that took effect and whose answer was lost, after which the rows moved on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pymysql
import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exception

from drivers.interface.records import Record
from flows.errors import StatusChanged
from tests.unit.db.world import PROJECT
from worker.db import commit, models
from worker.db.database import Database
from worker.db.records import Records

LOST = pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
TIMES = {"created_at", "updated_at", "deleted_at", "launched_at", "detach_time", "expire"}


def lost() -> Exception:
    """A connection that broke."""
    wrapped = sa.exc.OperationalError("COMMIT", None, LOST, hide_parameters=True)
    return db_exception.DBConnectionError(wrapped)


class Cut:
    """Loses the answers of commits.

    :param then: called when a commit has taken effect and its answer is lost.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.then: Callable[[], object] = lambda: None
        self.left = 0
        self.takes_effect = True
        sa.event.listen(database.engine, "commit", self._commit)

    def next(self, then: Callable[[], object] = lambda: None, *, takes_effect: bool = True) -> None:
        """Lose the answer of the next commit."""
        self.then, self.left, self.takes_effect = then, 1, takes_effect

    def _commit(self, connection: sa.Connection) -> None:
        if not self.left:
            return
        self.left -= 1
        raw = connection.connection.dbapi_connection
        assert raw is not None
        if self.takes_effect:
            raw.commit()
        else:
            raw.rollback()
        self.then()
        raise lost()


@pytest.fixture
def cut(database: Database) -> Cut:
    """Loses answers of the database of ``records``."""
    return Cut(database)


@pytest.fixture
def others(database_url: str, database: Database) -> Iterator[Records]:
    """The records of another client, whose commits are answered."""
    other = Database(database_url)
    yield Records(other, limits={"volumes": 10, "gigabytes": 100, "snapshots": 10})
    other.dispose()


@pytest.fixture
def world(records: Records, tables) -> Records:
    """One resource of each kind, each in the middle of its operation."""
    tables.use(volumes=3, gigabytes=9, snapshots=2, backups=2)
    old, new = tables.volume_type("old"), tables.volume_type("new")
    made = {"project_id": PROJECT, "volume_type_id": old, "host": "h@b#p", "size": 3}
    records.volumes.create(id="v1", status="creating", **made)
    records.volumes.create(
        id="v2", status="retyping", migration_status="completing", metadata={"a": "1"}, **made
    )
    records.volumes.create(
        **{**made, "volume_type_id": new}, id="v3", status="available", migration_status="target:v2"
    )
    records.snapshots.create(id="s1", volume_id="v1", project_id=PROJECT, volume_type_id=old)
    records.backups.create(id="b0", volume_id="v1", project_id=PROJECT, status="available")
    records.backups.create(id="b1", volume_id="v1", project_id=PROJECT, parent_id="b0", size=1)
    records.groups.create(id="g1", project_id=PROJECT, replication_status="enabling")
    records.attachments.create(id="a1", volume_id="v1", attach_status="attached")
    return records


def service(records: Records, host: str) -> Record:
    """The row of a service, that claims work."""
    versions = {"rpc_version": "1", "object_version": "1"}
    return records.services.ensure(
        host=host, binary="cinder-volume", topic="t", availability_zone="z", **versions
    )


def nothing(_records: Records) -> None:
    """The rows do not move on."""


WRITES: dict[str, tuple[Callable[[Records], object], Callable[[Records], object]]] = {
    "create_volume": (
        lambda r: r.volumes.create(id="new", size=1).id,
        lambda r: r.volumes.update("new", status="error"),
    ),
    "finish_volume": (
        lambda r: r.volumes.transition("v1", "available", when=("creating",), done=True),
        lambda r: r.volumes.update("v1", status="deleting", previous_status="available"),
    ),
    "finish_a_volume_that_is_gone": (
        lambda r: r.volumes.transition("v1", "available", when=("creating",), done=True),
        lambda r: r.volumes.destroy("v1", release={"volumes": 1}),
    ),
    "update_with_metadata": (
        lambda r: r.volumes.update("v1", provider_id="p", metadata={"k": "v"}),
        lambda r: r.volumes.destroy("v1", release={"volumes": 1}),
    ),
    "destroy_volume": (
        lambda r: r.volumes.destroy("v1", release={"volumes": 1, "gigabytes": 3}),
        nothing,
    ),
    "destroy_snapshot": (
        lambda r: r.snapshots.destroy("s1", release={"snapshots": 1}),
        nothing,
    ),
    "finish_snapshot": (
        lambda r: r.snapshots.transition("s1", "available", when=("creating",), done=True),
        lambda r: r.snapshots.update("s1", status="deleting"),
    ),
    "complete_backup": (
        lambda r: r.backups.complete("b1", when=("creating",), size=2),
        lambda r: r.backups.update("b1", status="restoring"),
    ),
    "destroy_backup": (lambda r: r.backups.destroy("b1", release={"backups": 1}), nothing),
    "finish_backup": (
        lambda r: r.backups.transition("b1", "error", when=("creating",), fail_reason="no"),
        lambda r: r.backups.update("b1", status="deleting"),
    ),
    "finish_group": (
        lambda r: r.groups.transition("g1", "available", when=("creating",)),
        lambda r: r.groups.update("g1", status="updating"),
    ),
    "replicate_group": (
        lambda r: r.groups.set_replication("g1", "enabled", when="enabling"),
        lambda r: r.groups.update("g1", replication_status="disabling"),
    ),
    "destroy_group": (lambda r: r.groups.destroy("g1", release={"groups": 1}), nothing),
    "migrate": (
        lambda r: r.volumes.migrate("v2", "success", when=("completing",)),
        lambda r: r.volumes.migrate("v2", "starting", when=("success",)),
    ),
    "swap": (
        lambda r: r.volumes.swap("v2", "v3", "available"),
        lambda r: r.volumes.destroy("v3"),
    ),
    "swap_and_migrate_again": (
        lambda r: r.volumes.swap("v2", "v3", "available"),
        lambda r: r.volumes.migrate("v2", "starting", when=("success",)),
    ),
    "detach": (lambda r: r.attachments.destroy("a1"), nothing),
    "settle_volume": (
        lambda r: r.attachments.settle_volume("v1"),
        lambda r: r.volumes.destroy("v1"),
    ),
    "reserve_by_key": (
        lambda r: r.quotas.reserve(PROJECT, {"volumes": 1}, key="v9"),
        nothing,
    ),
    "offer_work": (
        lambda r: r.workers.offer("Volume", "v1", "creating"),
        lambda r: r.work_of(service(r, "h1")).claim("Volume", "v1", "creating"),
    ),
}


def everything(database: Database) -> dict[str, object]:
    """Return all rows without their times and numbers that a row is given."""
    found: dict[str, object] = {}
    with database.reader() as connection:
        for name in models.metadata.tables:
            # As text: to compile a query for each of forty tables takes a tenth of a second.
            rows = connection.exec_driver_sql(f"SELECT * FROM {name}").mappings().all()
            shown = [{k: v for k, v in row.items() if k not in TIMES} for row in rows]
            found[name] = sorted(shown, key=repr)
    return found


@pytest.mark.parametrize("takes_effect", [True, False])
@pytest.mark.parametrize(("write", "then"), WRITES.values(), ids=WRITES)
def test_a_lost_answer_changes_nothing(
    world: Records,
    others: Records,
    database: Database,
    cut: Cut,
    tmp_path,
    write,
    then,
    takes_effect,
) -> None:
    source = sqlite3.connect(str(database.engine.url.database))
    with closing(source), closing(sqlite3.connect(tmp_path / "copy.sqlite")) as target:
        source.backup(target)  # in which the same happens without a cut
    copy = Database(f"sqlite:///{tmp_path / 'copy.sqlite'}")
    plain = Records(copy, limits={"volumes": 10, "gigabytes": 100, "snapshots": 10})
    expected = write(plain)
    then(plain)

    cut.next((lambda: then(others)) if takes_effect else (lambda: None), takes_effect=takes_effect)
    answer = write(world)
    if not takes_effect:
        then(others)

    assert cut.left == 0
    assert answer == expected
    assert everything(database) == everything(copy)
    copy.dispose()


@pytest.mark.parametrize("takes_effect", [True, False])
def test_reservations_are_made_once(world, cut, tables, takes_effect) -> None:
    cut.next(takes_effect=takes_effect)
    ids = world.quotas.reserve(PROJECT, {"volumes": 1, "gigabytes": 2})

    assert sorted(ids) == sorted(row["uuid"] for row in tables.rows("reservations"))
    assert tables.used()["volumes"] == (3, 1)
    assert tables.used()["gigabytes"] == (9, 2)


def test_the_same_status_for_a_later_request_is_left_to_it(world, others, cut, tables) -> None:
    """A volume was extended, and is ``extending`` again before the answer is missed."""
    first = world.quotas.reserve(PROJECT, {"gigabytes": 1})
    second = world.quotas.reserve(PROJECT, {"gigabytes": 1})
    world.volumes.update("v1", status="extending")
    cut.next(lambda: others.volumes.transition("v1", "extending", when=("available",)))
    world.volumes.transition("v1", "available", when=("extending",), size=4, commit=first)

    assert world.volumes.get("v1").status == "extending"
    assert tables.used()["gigabytes"] == (10, 1)
    world.volumes.transition("v1", "available", when=("extending",), size=5, commit=second)
    assert tables.used()["gigabytes"] == (11, 0)


def test_a_status_that_moved_before_any_commit_is_refused(world, cut) -> None:
    world.volumes.update("v1", status="error")
    cut.next()

    with pytest.raises(StatusChanged, match="v1 is error, not creating"):
        world.volumes.transition("v1", "available", when=("creating",))


def test_a_conflict_at_the_commit_took_no_effect(world, others, database) -> None:
    """A deadlock is a definite answer: then a status that moved on is another operation's."""
    tries = []

    def refuse(connection: sa.Connection) -> None:
        if not tries:
            tries.append(1)
            connection.connection.dbapi_connection.rollback()
            others.volumes.update("v1", status="deleting")
            raise db_exception.DBDeadlock

    sa.event.listen(database.engine, "commit", refuse)
    with pytest.raises(StatusChanged):
        world.volumes.transition("v1", "available", when=("creating",))


def test_a_user_message_is_written_once(world, database, tables, monkeypatch) -> None:
    """It is a statement that is a transaction by itself, and its id is new."""
    plain = database.change

    def twice(*args, **kwargs):
        plain(*args, **kwargs)
        return plain(*args, **kwargs)

    monkeypatch.setattr(database, "change", twice)
    request = Record("request", {"project_id": PROJECT, "request_id": "req-1"})
    world.messages.create(request, world.volumes.get("v1"), action="001", detail="001")

    assert len(tables.rows("messages")) == 1


def test_work_is_taken_once_and_by_one(world, others, database, monkeypatch) -> None:
    world.workers.offer("Volume", "v1", "creating")
    owner, rival = service(world, "h1"), service(world, "h2")
    world.work_of(owner).claim("Volume", "v1", "creating")
    [work] = world.work_of(owner).left()
    plain = database.change

    def twice(*args, **kwargs):
        plain(*args, **kwargs)
        return plain(*args, **kwargs)

    monkeypatch.setattr(database, "change", twice)
    assert world.work_of(rival).take(work)
    assert not others.work_of(owner).take(work)


def test_a_mark_does_not_stay_on_the_connection(database, cut) -> None:
    seen = []
    cut.next()
    database.write(lambda connection: seen.append(commit.perhaps_committed(connection)))
    database.write(lambda connection: seen.append(commit.perhaps_committed(connection)))

    assert seen == [False, True, False]
