# SPDX-License-Identifier: Apache-2.0
"""A run of a flow reads each volume once, and never an old row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows.errors import VolumeNotFound
from tests.unit.flows.world.orphans import Left
from worker.adapters.record_cache import READS, RecordCache


class Run:
    """The records of one run over a database that counts its statements."""

    def __init__(self, directory: Path) -> None:
        self.left = Left(directory)
        self.statements: list[str] = []
        rows: Any = self.left.records
        self.plain = replace(
            self.left.world.context(),
            volumes=rows.volumes,
            snapshots=rows.snapshots,
            groups=rows.by_group_kind,
            attachments=rows.attachments,
            backups=rows.backups,
            quotas=rows.quotas,
        )
        self.ctx = RecordCache().around(self.plain)
        self.group = self.left.group("available", replication_status="enabling")
        self.volume = self.left.volume(
            "reserved", attach_status="reserved", group_id=self.group, replication_status="enabling"
        )
        self.snapshot = self.left.snapshot(self.volume, "available")
        for engine in self.left.database._engines or ():
            sa.event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.statements.append(statement.split()[0])

    def status(self) -> str:
        return str(self.ctx.volumes.get(self.volume).status)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.left.database.dispose()


def test_a_row_is_read_once(run: Run) -> None:
    for _ in range(3):
        run.ctx.volumes.get(run.volume)
        run.ctx.snapshots.get(run.snapshot)

    assert run.statements.count("SELECT") == 2


@pytest.mark.parametrize("kind", ["volumes", "snapshots"])
def test_rows_of_one_id_are_apart(run: Run, kind: str) -> None:
    run.left.records.snapshots.create(id=run.volume, volume_id=run.volume)

    assert getattr(run.ctx, kind).get(run.volume).kind == kind.removesuffix("s")
    assert run.ctx.snapshots.get(run.volume).kind == "snapshot"
    assert run.ctx.volumes.get(run.volume).kind == "volume"


WRITES: dict[str, tuple[Callable[[Run], Any], str]] = {
    "an attachment is settled": (
        lambda run: (
            run.ctx.attachments.create(volume_id=run.volume, attach_status="attached"),
            run.ctx.attachments.settle_volume(run.volume),
        ),
        "in-use",
    ),
    "members of a group": (
        lambda run: run.ctx.groups["group"].update_members(
            run.group, [{"id": run.volume, "status": "error"}]
        ),
        "error",
    ),
    "the replication of a group": (
        lambda run: run.ctx.groups["group"].set_replication(
            run.group, "error", when="enabling", members_status="error"
        ),
        "error",
    ),
    "the volume itself": (
        lambda run: run.ctx.volumes.transition(run.volume, "in-use", when=("reserved",)),
        "in-use",
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_through_any_records_is_seen(run: Run, name: str) -> None:
    write, expected = WRITES[name]
    assert run.status() == "reserved"

    write(run)

    assert run.status() == expected


def test_a_write_to_the_volume_is_seen_from_its_snapshot(run: Run) -> None:
    assert run.ctx.snapshots.get(run.snapshot).volume.status == "reserved"

    run.ctx.volumes.update(run.volume, status="error")

    assert run.ctx.snapshots.get(run.snapshot).volume.status == "error"


@pytest.mark.parametrize("field", ["attachments", "backups", "quotas"])
def test_a_write_of_any_other_records_counts(run: Run, field: str) -> None:
    """Also one whose rows are not those of volumes: it may be extended some day."""
    run.status()
    run.left.records.volumes.update(run.volume, status="error")
    assert run.status() == "reserved"

    rows = getattr(run.ctx, field)
    if field == "quotas":
        rows.commit([])
    else:
        with pytest.raises(Exception, match="does not exist"):
            rows.update("nowhere", updated_at=None)

    assert run.status() == "error"


def test_a_call_of_another_service_counts(run: Run) -> None:
    class Service:
        def attach(self) -> None:
            run.left.records.volumes.update(run.volume, status="in-use")

    cache = RecordCache()
    volumes, service = cache.cached(run.left.records.volumes), cache.observed(Service())
    assert volumes.get(run.volume).status == "reserved"

    service.attach()

    assert volumes.get(run.volume).status == "in-use"


def test_a_row_that_others_write_is_read_anew(run: Run) -> None:
    run.status()
    run.left.records.volumes.update(run.volume, status="in-use")

    assert run.ctx.volumes.current(run.volume).status == "in-use"
    assert run.status() == "in-use"


def test_a_row_that_is_gone_is_looked_for_again(run: Run) -> None:
    run.left.records.volumes.destroy(run.volume)
    for _ in range(2):
        with pytest.raises(VolumeNotFound):
            run.status()


def test_reads_write_nothing(run: Run) -> None:
    calls = {
        "volumes": {"get": run.volume, "qos": None},
        "snapshots": {"get": run.snapshot, "of_volume": run.volume},
        "attachments": {"of_volume": run.volume},
    }
    for field, methods in calls.items():
        for method, argument in methods.items():
            getattr(getattr(run.ctx, field), method)(argument)
    run.ctx.groups["group"].members(run.group)

    assert {"get", "of_volume", "members", "qos"} == READS
    assert set(run.statements) <= {"SELECT", "BEGIN", "PRAGMA", "COMMIT"}


UNRELATED = {"workers", "messages", "initiators", "types", "services", "image_cache"}
"""Records that have no columns of volumes or snapshots, or that are only read."""


def test_every_record_of_a_context_is_in_the_cache_or_unrelated(run: Run) -> None:
    names = {field.name for field in fields(run.ctx)}
    records = {name for name in names if hasattr(run.left.records, name)}
    wrapped = {name for name in names if getattr(run.ctx, name) is not getattr(run.plain, name)}

    assert records - wrapped <= UNRELATED
    assert wrapped & UNRELATED == set()
    assert "groups" in wrapped
