# SPDX-License-Identifier: Apache-2.0
"""Rows that a stopped Cinder left are ended by the rules, once, and no others."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_utils import timeutils

from flows.engine import flow_run
from flows.host import orphaned
from flows.volume import create_from_backup
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.orphans import BEFORE, WHO, Left
from worker.db import models


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Left]:
    made = Left(tmp_path)
    yield made
    made.database.dispose()


class TestCleanup:
    """spec/volume-rpc §8, the row *per row*."""

    @pytest.mark.parametrize(
        ("status", "ends"),
        [("creating", "error"), ("downloading", "error"), ("uploading", "available")],
    )
    def test_volumes(self, left: Left, status: str, ends: str) -> None:
        volume = left.volume(status, left.ours)
        left.clean()

        assert (left.status(volume), left.work()) == (ends, {})

    def test_a_download_is_cleared(self, left: Left) -> None:
        seen: list[str] = []
        left.world.driver.clear_download = lambda _, volume: seen.append(volume.id)  # type: ignore[method-assign]
        volume = left.volume("downloading", left.ours)
        left.clean()

        assert seen == [volume]

    def test_a_volume_in_use_that_was_uploaded(self, left: Left) -> None:
        volume = left.volume("uploading", left.ours)
        left.records.attachments.create(volume_id=volume, attach_status="attached")
        left.clean()

        assert left.status(volume) == "in-use"

    def test_a_deletion_goes_on_and_keeps_its_row(self, left: Left) -> None:
        volume = left.volume("deleting", left.ours)
        left.clean()

        assert left.operations.deleted == [volume]
        assert (left.status(volume), left.work()) == ("deleting", {volume: left.ours})

    def test_snapshots(self, left: Left) -> None:
        snapshot = left.snapshot(left.volume("available"), "creating", left.ours)
        left.clean()

        assert (left.status(snapshot, "snapshot"), left.work()) == ("error", {})

    @pytest.mark.parametrize("ended", ["available", "error", "deleted"])
    def test_work_that_has_ended_loses_its_row(self, left: Left, ended: str) -> None:
        volume = left.volume("creating", left.ours)
        left.records.volumes.update(volume, status=ended)
        if ended == "deleted":
            left._write(sa.update(models.volumes).values(deleted=True))
        left.clean()

        assert left.work() == {}

    @pytest.mark.parametrize("owner", ["nobody", "other"])
    def test_work_of_others_is_left_alone(self, left: Left, owner: str) -> None:
        other = left.records.services.ensure(**{**WHO, "host": "other@backend"}).id
        volume = left.volume("creating", None if owner == "nobody" else other)
        left.clean()

        assert left.status(volume) == "creating"

    def test_unless_it_is_asked_for(self, left: Left) -> None:
        other = left.records.services.ensure(**{**WHO, "host": "other@backend"}).id
        volume = left.volume("creating", other)
        left.clean(service_id=other)

        assert (left.status(volume), left.work()) == ("error", {})

    @pytest.mark.parametrize(
        ("wanted", "cleaned"),
        [
            ({"resource_type": "Snapshot"}, False),
            ({"resource_type": "Volume"}, True),
            ({"resource_id": "another"}, False),
            ({"until": "2026-01-01T11:59:59Z"}, False),
            ({"until": "2026-01-01T12:00:00Z"}, True),
            ({"until": "2026-01-01T13:00:00+01:00"}, True),
        ],
    )
    def test_a_part_of_it(self, left: Left, wanted: dict[str, Any], cleaned: bool) -> None:
        volume = left.volume("creating", left.ours)
        left.clean(**wanted)

        assert left.status(volume) == ("error" if cleaned else "creating")

    def test_what_the_journal_knows_is_left_to_it(self, left: Left) -> None:
        volume = left.volume("creating", left.ours)
        left.operations.known.add(volume)
        left.clean()

        assert (left.status(volume), left.work()) == ("creating", {volume: left.ours})

    def test_a_volume_that_is_being_restored_is_left_to_that(self, left: Left) -> None:
        volume = left.volume("creating", left.ours)
        restoring = {"status": "restoring", "restore_volume_id": volume}
        left.records.backups.create(volume_id="v0", **restoring)
        left.clean()

        assert (left.status(volume), left.work()) == ("creating", {})

    def test_what_cannot_be_cleaned_keeps_its_row_and_the_others_go(self, left: Left) -> None:
        def fail(*_: Any) -> None:
            raise OSError("the driver is out of order")

        left.world.driver.clear_download = fail  # type: ignore[method-assign]
        other = left.records.services.ensure(**{**WHO, "host": "other@backend"}).id
        broken, fine = left.volume("downloading", other), left.volume("creating", other)
        left.clean(service_id=other)

        assert (left.status(broken), left.status(fine)) == ("downloading", "error")
        assert left.work() == {broken: other}
        (work,) = left.work_rows.left(other)
        assert work.updated_at == BEFORE

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_killed_anywhere_the_next_start_ends_it(self, tmp_path: Path, moment: str) -> None:
        for number in itertools.count():
            directory = tmp_path / str(number)
            directory.mkdir()
            left = Left(directory)
            volumes = [left.volume(s, left.ours) for s in ("creating", "uploading", "deleting")]
            snapshot = left.snapshot(left.volume("available"), "creating", left.ours)
            left.world.strike_at(number, moment)
            try:
                left.clean()
                killed = False
            except Killed:
                killed = True
                left.world.revive()
                left.operations.known.clear()
                left.clean()

            assert [left.status(v) for v in volumes] == ["error", "available", "deleting"]
            assert left.status(snapshot, "snapshot") == "error"
            assert left.work() == {volumes[2]: left.ours}
            assert set(left.operations.deleted) == {volumes[2]}
            left.database.dispose()
            if not killed:
                break
        assert number > 5


class TestAbandoned:
    @pytest.mark.parametrize(
        ("status", "ends"),
        [
            ("creating", "error"),
            ("downloading", "error"),
            ("uploading", "available"),
            ("unmanaging", "error_unmanaging"),
            ("managing", "error_managing"),
            ("error_managing_deleting", "error_managing"),
            ("extending", "error_extending"),
            ("reverting", "error"),
            ("retyping", "available"),
            # Another service's, or waiting for another service.
            ("attaching", "attaching"),
            ("reserved", "reserved"),
            ("maintenance", "maintenance"),
            ("backing-up", "backing-up"),
            ("restoring-backup", "restoring-backup"),
            ("awaiting-transfer", "awaiting-transfer"),
        ],
    )
    @pytest.mark.parametrize("work", [-1, None])
    def test_volumes(self, left: Left, status: str, ends: str, work: int | None) -> None:
        volume = left.volume(status, work)
        left.settle()

        assert left.status(volume) == ends
        if ends != status:
            assert left.work() == {}

    def test_a_deletion_goes_on(self, left: Left) -> None:
        volume = left.volume("deleting", None)
        snapshot = left.snapshot(volume, "deleting")
        left.settle()

        assert left.operations.deleted == [volume]
        assert left.status(snapshot, "snapshot") == "deleting"

    @pytest.mark.parametrize("before", ["available", "in-use"])
    def test_a_retype_goes_back(self, left: Left, before: str) -> None:
        volume = left.volume("retyping", previous_status=before)
        left.settle()

        assert left.status(volume) == before

    def test_an_extension_may_wait_for_its_compute_host(self, left: Left) -> None:
        waiting = {"extend_new_size": "3", "extend_reservations": "[]"}
        volume = left.volume("extending", admin_metadata=waiting)
        left.settle()

        assert left.status(volume) == "extending"

    @pytest.mark.parametrize("status", ["starting", "migrating", "completing"])
    @pytest.mark.parametrize(
        ("before", "after"),
        [("maintenance", "in-use"), ("in-use", "in-use"), ("retyping", "in-use")],
    )
    def test_migrations(self, left: Left, status: str, before: str, after: str) -> None:
        columns = {"migration_status": status, "previous_status": "in-use"}
        volume = left.volume(before, **columns)
        left.settle()

        assert left.status(volume) == after
        assert left.status(volume, column="migration_status") == "error"

    @pytest.mark.parametrize("before", ["in-use", "retyping"])
    @pytest.mark.parametrize("taken", ["reserved", "attaching", "in-use"])
    def test_a_compute_service_ends_what_it_has_taken(
        self, left: Left, before: str, taken: str
    ) -> None:
        columns = {"migration_status": "migrating", "previous_status": "in-use"}
        volume = left.volume(before, **columns)
        left.volume(taken, migration_status=f"target:{volume}", host="other@backend#p")
        left.settle()

        assert left.status(volume) == before
        assert left.status(volume, column="migration_status") == "migrating"

    def test_also_where_it_has_let_the_copy_go(self, left: Left) -> None:
        volume = left.volume("in-use", migration_status="migrating")
        copy = left.volume("available", migration_status=f"target:{volume}", host="o@b#p")
        attachment = left.records.attachments.create(volume_id=copy, attach_status="reserved")
        left.records.attachments.destroy(attachment.id)
        left.settle()

        assert left.status(volume, column="migration_status") == "migrating"

    def test_not_what_it_has_not_taken(self, left: Left) -> None:
        volume = left.volume("in-use", migration_status="migrating")
        left.volume("available", migration_status=f"target:{volume}", host="o@b#p")
        left.settle()

        assert left.status(volume, column="migration_status") == "error"

    @pytest.mark.parametrize("status", ["success", "error", None])
    def test_migrations_that_have_ended(self, left: Left, status: str | None) -> None:
        volume = left.volume("available", migration_status=status)
        left.settle()

        assert left.status(volume, column="migration_status") == status

    @pytest.mark.parametrize(
        ("status", "ends"),
        [
            ("creating", "error"),
            ("deleting", "error_deleting"),
            ("unmanaging", "error_deleting"),
            ("restoring", "available"),
            ("backing-up", "backing-up"),
        ],
    )
    def test_snapshots(self, left: Left, status: str, ends: str) -> None:
        snapshot = left.snapshot(left.volume("available"), status)
        left.settle()

        assert left.status(snapshot, "snapshot") == ends

    @pytest.mark.parametrize("kind", ["group", "consistencygroup"])
    @pytest.mark.parametrize(
        ("status", "before", "after"),
        [
            ("creating", "creating", "error"),
            ("deleting", "deleting", "error_deleting"),
            ("updating", "in-use", "in-use"),
        ],
    )
    def test_groups(self, left: Left, kind: str, status: str, before: str, after: str) -> None:
        group = left.group(status, kind)
        volume = left.volume(before, **{f"{kind}_id": group})
        left.settle()

        assert (left.status(group, kind), left.status(volume)) == ("error", after)
        assert left.operations.deleted == []

    @pytest.mark.parametrize(
        ("kind", "of"), [("group", "group_snapshot"), ("consistencygroup", "cgsnapshot")]
    )
    @pytest.mark.parametrize("status", ["creating", "deleting"])
    def test_snapshots_of_groups(self, left: Left, kind: str, of: str, status: str) -> None:
        group = left.group("available", kind)
        whole = left.group(status, of, **{f"{kind}_id": group})
        snapshot = left.snapshot(left.volume("available"), status, **{f"{of}_id": whole})
        left.settle()

        assert (left.status(whole, of), left.status(snapshot, "snapshot")) == ("error", "error")

    @pytest.mark.parametrize("during", ["enabling", "disabling", "failing-over"])
    def test_replication_of_groups(self, left: Left, during: str) -> None:
        group = left.group("available", replication_status=during)
        volume = left.volume("available", group_id=group, replication_status=during)
        left.settle()

        for kind, row_id in (("group", group), ("volume", volume)):
            found = left.status(row_id, kind), left.status(row_id, kind, "replication_status")
            assert found == ("error", "error")

    @pytest.mark.parametrize("known", [False, True])
    def test_a_failover_of_the_service(self, left: Left, known: bool) -> None:
        left.row.update(replication_status="failing-over")
        left.operations.known |= {"backend"} if known else set()
        left.settle()
        row = left.row.get()

        assert row.replication_status == ("failing-over" if known else "failover-error")
        assert row.disabled is not known

    @pytest.mark.parametrize(
        "known", ["itself", "group", "source", "volume of a snapshot", "group snapshot"]
    )
    def test_what_the_journal_knows_is_left_to_it(self, left: Left, known: str) -> None:
        group, whole = left.group("available"), "gs"
        source = left.volume("available")
        volume = left.volume("creating", group_id=group, migration_status=f"target:{source}")
        snapshot = left.snapshot(volume, "creating", group_snapshot_id=None)
        knows = {
            "itself": [volume, snapshot],
            "group": [group],
            "source": [source],
            "volume of a snapshot": [volume],
            "group snapshot": [whole],
        }[known]
        left.operations.known |= set(knows)
        left.settle()

        kept = known in ("itself", "group", "source", "volume of a snapshot")
        assert left.status(volume) == ("creating" if kept else "error")
        kept = known in ("itself", "volume of a snapshot")
        assert left.status(snapshot, "snapshot") == ("creating" if kept else "error")

    def test_what_somebody_has_changed_since_is_left_alone(self, left: Left) -> None:
        at_the_start = left.read()
        volume = left.volume("extending")
        left.settle(at_the_start)
        assert left.status(volume) == "extending"

        at_the_start = left.read()
        left.records.volumes.update(volume, display_name="new")
        left.settle(at_the_start)
        assert left.status(volume) == "extending"

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_the_clock_of_the_service_that_wrote_it_does_not_matter(
        self, left: Left, hours: int
    ) -> None:
        volume = left.volume("extending")
        written = timeutils.utcnow() + datetime.timedelta(hours=hours)
        left.records.volumes.update(volume, updated_at=written)
        left.settle()

        assert left.status(volume) == "error_extending"

    def test_those_that_no_operation_names_are_listed(self, left: Left) -> None:
        lost, known = left.volume("extending"), left.volume("deleting", migration_status="starting")
        left.volume("available")
        context = left.context()

        assert [row.id for row in orphaned.unknown(context.host, {known})] == [lost]

    def test_volumes_of_other_backends_are_left_alone(self, left: Left) -> None:
        volume = left.volume("extending", host="node@backend2#p")
        homeless = left.volume("creating", host=None)
        left.settle()

        assert (left.status(volume), left.status(homeless)) == ("extending", "creating")

    def test_one_that_cannot_be_ended_does_not_keep_the_others(
        self, left: Left, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: Any) -> None:
            raise OSError("no")

        monkeypatch.setattr(left.operations, "delete_volume", fail)
        left.volume("deleting")
        volume = left.volume("extending")
        left.settle()

        assert left.status(volume) == "error_extending"

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_killed_anywhere_the_next_start_ends_it(self, tmp_path: Path, moment: str) -> None:
        for number in itertools.count():
            directory = tmp_path / str(number)
            directory.mkdir()
            left = Left(directory)
            group = left.group("creating")
            volumes = [
                left.volume("creating", group_id=group),
                left.volume("retyping", migration_status="migrating"),
                left.volume("extending"),
            ]
            left.world.strike_at(number, moment)
            try:
                left.settle()
                killed = False
            except Killed:
                killed = True
                left.world.revive()
                left.settle()

            assert left.status(group, "group") == "error"
            assert [left.status(v) for v in volumes] == ["error", "available", "error_extending"]
            assert left.status(volumes[1], column="migration_status") == "error"
            left.database.dispose()
            if not killed:
                break
        assert number > 3


def test_a_volume_that_the_backup_service_restores_has_no_work_row(left: Left) -> None:
    volume = left.volume("creating", left.ours)
    backup = left.records.backups.create(volume_id="v0", size=1, status="available")
    service: Any = SimpleNamespace(alive=lambda *_: "h", restore_backup=lambda *_: None)
    context = dataclasses.replace(
        left.context(), backups=left.records.backups, backup_service=service
    )
    spec = {"request_spec": None, "filter_properties": None, "allow_reschedule": True}
    args = {"volume_id": volume, "backup_id": backup.id, **spec}
    outcome = flow_run.run_in_memory(create_from_backup.flow, args, context)

    assert outcome.state == "done"
    assert (left.status(volume), left.work()) == ("creating", {})
    left.settle()
    assert left.status(volume) == "creating"
