# SPDX-License-Identifier: Apache-2.0
"""holdfast backup apply-policies."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.backup import Damage
from drivers.interface.records import Record
from tests.unit.cli.chains.conftest import Driver, backup, policy, volume
from tests.unit.cli.conftest import Shell
from worker.cli.access import Access
from worker.cli.casting import on_demand
from worker.cli.chains.parents import Parents
from worker.cli.lookup.errors import StillRunning


@pytest.mark.usefixtures("clock")
class TestPolicies:
    def test_a_due_backup_is_requested_once(
        self, holdfast: Shell, driver: Driver, tmp_path: Path
    ) -> None:
        one = volume(holdfast, project_id="q")
        volume(holdfast, project_id="other")
        file = policy(tmp_path, 'every = "1d"\nfull_every = "7d"\nprojects = ["q"]')
        asked = ("backup", "apply-policies", "--file", file, "-f", "json")
        ran = holdfast(*asked, "--dry-run")
        [row] = ran.rows
        assert (row["volume_id"], row["outcome"]) == (one, "would be made")
        ran = holdfast(*asked)
        [row] = ran.rows
        assert (row["outcome"], row["action"]) == ("requested", "back up"), row
        made = holdfast.records.backups.get(row["backup_id"])
        assert (made.display_name, made.project_id) == ("n-2026-03-10-23-00", "q")
        assert holdfast(*asked).rows == []

    @pytest.mark.parametrize(
        ("days", "status", "wanted"),
        [
            (2, "available", ["back up incrementally"]),
            (0.5, "available", []),
            (8, "available", ["back up"]),
            (1.5, "creating", []),
            (2, "error", ["back up"]),
            (0.02, "error", []),
        ],
    )
    def test_the_kind_follows_from_the_one_before(
        self,
        holdfast: Shell,
        driver: Driver,
        tmp_path: Path,
        days: float,
        status: str,
        wanted: list[str],
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project)
        backup(holdfast, one, days, status=status, display_name="n-2026-03-01-00-00")
        file = policy(tmp_path, f'every = "1d"\nfull_every = "7d"\nprojects = ["{project}"]')
        ran = holdfast("backup", "apply-policies", "--file", file, "--dry-run", "-f", "json")
        assert [row["action"] for row in ran.rows] == wanted

    def test_only_its_own_backups_are_pruned(
        self, holdfast: Shell, driver: Driver, tmp_path: Path
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project)
        backup(holdfast, one, 5, display_name="n-by a user")
        old = backup(holdfast, one, 4, display_name="n-2026-03-06-23-00")
        backup(holdfast, one, 3, display_name="n-2026-03-07-23-00")
        file = policy(tmp_path, f'keep_last = 1\nprojects = ["{project}"]')
        ran = holdfast("backup", "apply-policies", "--file", file, "--dry-run", "-f", "json")
        assert [row["backup_id"] for row in ran.rows] == [old]

    def test_the_volume_is_read_fully_in_time_whatever_became_of_older_backups(
        self, holdfast: Shell, driver: Driver, tmp_path: Path
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project)
        columns = {"display_name": "n-2026-03-09-22-00", "project_id": project}
        was_read = "volume read fully at 2026-03-0"
        made = backup(holdfast, one, 1, display_description=f"{was_read}4-22-00", **columns)
        file = policy(tmp_path, f'every = "1d"\nfull_every = "7d"\nprojects = ["{project}"]')
        asked = ("backup", "apply-policies", "--file", file, "-f", "json")
        [row] = holdfast(*asked).rows
        assert row["action"] == "back up incrementally", row  # the chain became a full backup
        asked_for = holdfast.records.backups.get(row["backup_id"])
        assert (asked_for.display_description, asked_for.parent_id) == (f"{was_read}4-22-00", made)
        holdfast.records.backups.destroy(row["backup_id"])
        holdfast.records.volumes.update(one, status="available")
        holdfast.records.backups.update(made, display_description=f"{was_read}3-22-00")
        [row] = holdfast(*asked).rows
        assert row["action"] == "back up", row
        asked_for = holdfast.records.backups.get(row["backup_id"])
        assert asked_for.display_description == "volume read fully at 2026-03-10-23-00"

    def test_failed_backups_of_a_policy_do_not_use_up_the_quota(
        self, holdfast: Shell, driver: Driver, tmp_path: Path
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project)
        backup(holdfast, one, 4, status="error", display_name="of a user")
        failed = [
            backup(holdfast, one, days, status="error", display_name=f"n-2026-03-0{days}-22-00")
            for days in (3, 2, 1)
        ]
        file = policy(tmp_path, f'keep_last = 1\nprojects = ["{project}"]')
        ran = holdfast("backup", "apply-policies", "--file", file, "--dry-run", "-f", "json")
        assert [row["backup_id"] for row in ran.rows] == [failed[1], failed[0]]
        backup(holdfast, one, 0.5, display_name="n-2026-03-10-11-00")
        ran = holdfast("backup", "apply-policies", "--file", file, "--dry-run", "-f", "json")
        assert [row["backup_id"] for row in ran.rows] == failed[::-1], "a newer one is there"

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_volumes_in_use_are_left_out_with_the_reason(
        self, holdfast: Shell, driver: Driver, tmp_path: Path, dry_run: bool
    ) -> None:
        project = uuid.uuid4().hex
        volume(holdfast, project_id=project, status="in-use")
        file = policy(tmp_path, f'every = "1d"\nforce = false\nprojects = ["{project}"]')
        asked = ("backup", "apply-policies", "--file", file, "-f", "json")
        ran = holdfast(*asked, *(["--dry-run"] if dry_run else []))
        assert (ran.status, [row["outcome"] for row in ran.rows]) == (0, ["left out"])
        assert "force = false" in ran.rows[0]["reason"]

    def test_an_error_of_one_volume_does_not_end_the_others(
        self,
        holdfast: Shell,
        driver: Driver,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        project = uuid.uuid4().hex
        volumes = sorted(volume(holdfast, project_id=project) for _ in range(2))
        real = Parents.newest

        def newest(self: Parents, volume: Record, *args: Any) -> Record | None:
            if volume.id == volumes[0]:
                raise TypeError("a row is wrong\nin two lines")
            return real(self, volume, *args)

        monkeypatch.setattr(Parents, "newest", newest)
        file = policy(tmp_path, f'every = "1d"\nprojects = ["{project}"]')
        ran = holdfast("backup", "apply-policies", "--file", file, "-f", "json")
        assert ran.status == 1
        found = [(row["volume_id"], row["outcome"], row["reason"]) for row in ran.rows]
        failed = (volumes[0], "failed", "TypeError: a row is wrong")
        assert found == [failed, (volumes[1], "requested", "")]

    def test_a_backup_without_a_moment_is_of_its_creation(
        self, holdfast: Shell, driver: Driver, tmp_path: Path
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project)
        columns = {"display_name": "n-2026-03-09-22-00"}
        backup(holdfast, one, 2, **columns)
        newest = backup(holdfast, one, 1, **columns)
        holdfast.records.backups.update(newest, data_timestamp=None)
        file = policy(tmp_path, f'every = "1d"\nfull_every = "7d"\nprojects = ["{project}"]')
        [row] = holdfast("backup", "apply-policies", "--file", file, "-f", "json").rows
        assert holdfast.records.backups.get(row["backup_id"]).parent_id == newest, row

    @pytest.mark.parametrize(
        ("columns", "is_parent"),
        [
            ({}, True),
            ({"host": "elsewhere"}, False),
            ({"service": "another.Driver"}, False),
        ],
    )
    def test_the_parent_is_where_the_backup_is_made(
        self,
        holdfast: Shell,
        driver: Driver,
        tmp_path: Path,
        columns: dict[str, str],
        is_parent: bool,
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project)
        own = backup(holdfast, one, 2, display_name="n-2026-03-08-22-00")
        newer = backup(holdfast, one, 1, **columns)
        file = policy(tmp_path, f'every = "1d"\nfull_every = "7d"\nprojects = ["{project}"]')
        [row] = holdfast("backup", "apply-policies", "--file", file, "-f", "json").rows
        made = holdfast.records.backups.get(row["backup_id"])
        assert made.parent_id == (newer if is_parent else own)

    def test_without_a_parent_where_it_is_made_a_backup_is_a_full_one(
        self, holdfast: Shell, driver: Driver, tmp_path: Path
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project)
        backup(holdfast, one, 2, display_name="n-2026-03-08-22-00", host="elsewhere")
        file = policy(tmp_path, f'every = "1d"\nfull_every = "7d"\nprojects = ["{project}"]')
        [row] = holdfast("backup", "apply-policies", "--file", file, "-f", "json").rows
        assert (row["action"], row["outcome"]) == ("back up", "requested")
        made = holdfast.records.backups.get(row["backup_id"])
        assert made.parent_id is None
        assert made.display_description == "volume read fully at 2026-03-10-23-00"

    def test_a_damaged_backup_is_not_built_on(
        self, holdfast: Shell, driver: Driver, tmp_path: Path
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project)
        whole = backup(holdfast, one, 2, display_name="n-2026-03-08-22-00")
        damaged = backup(holdfast, one, 1, display_name="n-2026-03-09-22-00")
        driver.damage[damaged] = [Damage("o-1", 0, 5, "cut")]
        assert holdfast("backup", "scrub", "-f", "json").status == 1
        file = policy(tmp_path, f'every = "1d"\nfull_every = "7d"\nprojects = ["{project}"]')
        [row] = holdfast("backup", "apply-policies", "--file", file, "-f", "json").rows
        assert holdfast.records.backups.get(row["backup_id"]).parent_id == whole

    @pytest.mark.parametrize(("failed", "wanted"), [(1, "back up"), (4, "back up incrementally")])
    def test_a_full_backup_follows_a_failure(
        self, holdfast: Shell, driver: Driver, tmp_path: Path, failed: float, wanted: str
    ) -> None:
        """The cause may be the parent."""
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project)
        full = backup(holdfast, one, 3, display_name="n-2026-03-07-22-00")
        columns = {"display_name": "n-2026-03-09-22-00", "status": "error", "parent_id": full}
        backup(holdfast, one, failed, **columns)
        file = policy(tmp_path, f'every = "1d"\nfull_every = "4w"\nprojects = ["{project}"]')
        ran = holdfast("backup", "apply-policies", "--file", file, "--dry-run", "-f", "json")
        assert [row["action"] for row in ran.rows if row["action"] != "delete"] == [wanted]

    def test_a_stuck_backup_is_a_failure_with_its_name(
        self, holdfast: Shell, driver: Driver, tmp_path: Path
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project, status="backing-up")
        columns = {"display_name": "n-2026-01-29-22-00", "status": "creating"}
        stuck = backup(holdfast, one, 40, **columns)
        file = policy(tmp_path, f'every = "1d"\nprojects = ["{project}"]')
        ran = holdfast("backup", "apply-policies", "--file", file, "-f", "json")
        [row] = ran.rows
        assert (ran.status, row["outcome"], row["backup_id"]) == (1, "stuck", stuck)
        assert "is creating since 2026-01-29" in row["reason"]

    @pytest.mark.parametrize(("days", "wanted"), [(1.5, []), (3, ["left out"])])
    def test_a_volume_that_cannot_be_read_is_named_in_the_end(
        self, holdfast: Shell, driver: Driver, tmp_path: Path, days: float, wanted: list[str]
    ) -> None:
        project = uuid.uuid4().hex
        one = volume(holdfast, project_id=project, status="error")
        backup(holdfast, one, days, display_name="n-2026-03-07-22-00")
        file = policy(tmp_path, f'every = "1d"\nprojects = ["{project}"]')
        ran = holdfast("backup", "apply-policies", "--file", file, "-f", "json")
        assert (ran.status, [row["outcome"] for row in ran.rows]) == (0, wanted)

    def test_deletions_are_waited_for_as_long_as_a_run_may_take(
        self,
        holdfast: Shell,
        driver: Driver,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        project = uuid.uuid4().hex
        one, other = (volume(holdfast, project_id=project) for _ in range(2))
        for of, host in ((one, "cli"), (other, "dead")):
            for days in (3, 2, 1):
                columns = {"display_name": f"n-2026-03-0{days}-22-00", "host": host}
                backup(holdfast, of, days, **columns)
        waited: list[float] = []

        def wait(_access: Access, _sent: object, _write: object, seconds: float) -> str:
            waited.append(seconds)
            raise StillRunning("it is still deleting")

        monkeypatch.setattr(on_demand, "wait_for_end", wait)
        file = policy(tmp_path, f'keep_last = 1\nprojects = ["{project}"]')
        ran = holdfast("backup", "apply-policies", "--file", file, "-f", "json")
        outcomes = {row["volume_id"]: row["outcome"] for row in ran.rows}
        assert outcomes == {one: "goes on", other: "not up"}, ran.errors
        assert [row["volume_id"] for row in ran.rows].count(one) == 1, "older ones wait for it"
        assert len(waited) == 1 and 0 < waited[0] <= 600
        assert ran.status == 1
