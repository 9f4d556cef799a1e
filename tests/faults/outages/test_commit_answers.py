# SPDX-License-Identifier: Apache-2.0
"""Each commit of each operation takes effect, and its answer is lost.

A proxy in front of the database server breaks the connection when the server has answered
a COMMIT. Every operation ends as it does without, and the quota is right. A plain run cuts
the first and a random commit of each operation, ``--full`` every one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from drivers.interface.records import Record
from tests.conftest import require
from tests.faults.outages.proxy import Link
from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.cloud import PROJECT
from tests.functional.service import services
from tests.servers import Broker, MariaDB, PostgreSQL, until
from worker.db import models
from worker.journal.journal import Journal

MOST = 200
"""More commits than there are in the time of any operation: the services have others, too."""

USUAL = 10
"""Commits of an operation among which a plain run chooses."""

RESOURCES = {
    "volumes": [(models.volumes, None)],
    "snapshots": [(models.snapshots, None)],
    "gigabytes": [(models.volumes, "size"), (models.snapshots, "volume_size")],
    "backups": [(models.backups, None)],
    "backup_gigabytes": [(models.backups, "size")],
}
"""Resource to tables with the column that is summed; None counts the rows."""


class CutCloud(BackupCloud):
    """A cloud whose services reach a database through a link."""

    commit = b""
    """A message that commits; PostgreSQL's other messages name READ COMMITTED."""

    cuts_statements = False
    """Whether some statements are transactions by themselves, as in Cinder's database."""

    def use(self, **amounts: int) -> list[str]:
        """Reserve quota and use it, as the API does."""
        made = self.records.quotas.reserve(PROJECT, amounts)
        self.records.quotas.commit(made)
        return made

    def prepared(self, status: str = "available") -> Record:
        """Insert a volume that is on the backend and counts."""
        self.use(volumes=1, gigabytes=1)
        volume = self.existing()
        self.records.volumes.update(volume.id, status=status)
        return self.records.volumes.get(volume.id)

    def status(self, resource: Record) -> str:
        """Return the status of a resource, also of a backup."""
        if resource.kind == "backup":
            found = self.records.backups.find(resource.id)
            return "gone" if found is None or found.deleted else str(found.status)
        return super().status(resource)


def create(cloud: CutCloud) -> tuple[Record, str]:
    cloud.use(volumes=1, gigabytes=1)
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    return volume, "available"


def delete(cloud: CutCloud) -> tuple[Record, str]:
    volume = cloud.prepared("deleting")
    cloud.cast("delete_volume", volume=volume)
    return volume, "gone"


def extend(cloud: CutCloud) -> tuple[Record, str]:
    volume = cloud.prepared("extending")
    made = cloud.records.quotas.reserve(PROJECT, {"gigabytes": 1})
    cloud.cast("extend_volume", volume=volume, new_size=2, reservations=made)
    return volume, "available"


def snapshot(cloud: CutCloud) -> tuple[Record, str]:
    volume = cloud.prepared()
    cloud.use(snapshots=1, gigabytes=1)
    made = cloud.snapshot(volume)
    cloud.cast("create_snapshot", snapshot=made)
    return made, "available"


def delete_snapshot(cloud: CutCloud) -> tuple[Record, str]:
    made, _ = snapshot(cloud)
    cloud.wait_status(made, "available")
    cloud.records.snapshots.update(made.id, status="deleting")
    cloud.cast("delete_snapshot", snapshot=cloud.records.snapshots.get(made.id))
    return made, "gone"


def backup(cloud: CutCloud) -> tuple[Record, str]:
    cloud.use(backups=1, backup_gigabytes=1)
    return cloud.begin(cloud.prepared()), "available"


def delete_backup(cloud: CutCloud) -> tuple[Record, str]:
    made, _ = backup(cloud)
    until(lambda: cloud.status(made) == "available", 60, "a backup")
    cloud.records.backups.update(made.id, status="deleting")
    cloud.cast_backup("delete_backup", backup=cloud.records.backups.get(made.id))
    return made, "gone"


Operation = Callable[[CutCloud], tuple[Record, str]]

OPERATIONS = (create, delete, extend, snapshot, delete_snapshot, backup, delete_backup)


@pytest.fixture(params=["mysql", "postgresql"])
def url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """The URL of an empty database on a server."""
    require(MariaDB, PostgreSQL)
    return new_database(request.param)


@pytest.fixture
def link(url: str) -> Iterator[Link]:
    """The way of the services to that server."""
    port = sa.make_url(url).port
    assert port is not None
    made = Link(port)
    yield made
    made.cut()


@pytest.fixture(params=["database", "journal"])
def cloud(
    request: pytest.FixtureRequest,
    broker: Broker,
    tmp_path: Path,
    url: str,
    link: Link,
    forked: bool,
) -> Iterator[CutCloud]:
    """Services with Cinder's database, or the journal, behind the link."""
    through = sa.make_url(url).set(port=link.port).render_as_string(hide_password=False)
    direct = url if request.param == "database" else f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    sections = {request.param: {"connection": through}}
    local = {"volume_driver": "local", "local_path": str(tmp_path / "volumes")}
    bus = broker.vhost()
    with services(tmp_path, forked=forked) as make:
        made = CutCloud(make, bus, direct, tmp_path, local)
        given = {"bus": bus, "database": direct, "backends": made.backends}
        made.commit = b"COMMIT\0" if url.startswith("postgresql") else b"\x03COMMIT"
        made.cuts_statements = request.param == "database"
        made.service.write(**given, sections=sections)
        backups = {"DEFAULT": {"backup_posix_path": made.store}}
        made.backup_service.write(**given, sections={**sections, **backups})
        if request.param == "journal":
            made.journal = lambda: Journal(url)  # type: ignore[method-assign]
        made.start()
        yield made
        made.close()


def test_every_commit_of_every_operation(
    cloud: CutCloud, link: Link, full: bool, chance: random.Random
) -> None:
    def cut(operation: Operation, mark: bytes, usual: int = USUAL) -> None:
        numbers = range(MOST) if full else sorted({0, chance.randrange(usual)})
        assert _cut(cloud, link, operation, mark, numbers) > 0, operation.__name__

    for operation in OPERATIONS:
        cut(operation, cloud.commit)
    if cloud.cuts_statements:
        cut(extend, b"UPDATE volumes", 1)
        cut(backup, b"UPDATE backups", 1)
    _quota_is_right(cloud)


def _cut(
    cloud: CutCloud, link: Link, operation: Operation, mark: bytes, numbers: Iterable[int]
) -> int:
    """Run an operation for each of its messages with a mark, whose answer is lost.

    :param numbers: of the messages, rising; it ends with the first one that there is not.
    :returns: how many answers were lost.
    """
    first = link.cuts
    for number in numbers:
        before = link.cuts
        link.lose_answer(mark, number)
        resource, wanted = operation(cloud)
        cloud.wait_status(resource, wanted)
        cloud.wait_idle()
        if link.cuts == before:
            link.lose_nothing()
            break
    return link.cuts - first


def _quota_is_right(cloud: CutCloud) -> None:
    with cloud.database.reader() as connection:
        usages = models.quota_usages
        rows = connection.execute(sa.select(usages).where(usages.c.project_id == PROJECT)).all()
        found = {row.resource: (row.in_use, row.reserved) for row in rows}
        for resource, counted in RESOURCES.items():
            used = 0
            for table, column in counted:
                number = sa.func.count() if column is None else sa.func.sum(table.c[column])
                live = sa.select(number).select_from(table).where(table.c.deleted == sa.false())
                used += int(connection.scalar(live) or 0)
            assert found[resource] == (used, 0), resource
