# SPDX-License-Identifier: Apache-2.0
"""holdfast backup scrub, prune and policy run."""

from __future__ import annotations

import datetime
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oslo_utils import timeutils

from drivers.interface.backup import Damage
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record
from tests.unit.cli.conftest import Shell
from worker.backends.directory_mark import DirectoryMark
from worker.cli.chains import scrub
from worker.cli.chains.own_store import OwnStore
from worker.cli.chains.scrub_state import ScrubState
from worker.conf.option_groups import backup as options

DRIVER = "cinder.backup.drivers.posix.PosixBackupDriver"
NOW = datetime.datetime(2026, 3, 10, 23)


class Driver:
    """Finds this damage, by the id of the backup."""

    def __init__(self) -> None:
        self.damage: dict[str, list[Damage]] = {}
        self.read: list[tuple[str, float]] = []
        self.unneeded: set[tuple[str, str]] = set()
        self.away: set[str] = set()
        self.directory: Path | None = None
        self.meanwhile: Callable[[], Any] = lambda: None

    def mounted_directory(self) -> str | None:
        return self.directory and str(self.directory)

    def scrub(self, backup: Record, *, mib_per_second: float = 0) -> list[Damage]:
        self.read.append((backup.id, mib_per_second))
        self.meanwhile()
        if backup.id in self.away:
            raise BackupDriverException("the store is away")
        return self.damage.get(backup.id, [])

    def needed(self, backup: Record, names: list[str]) -> set[str]:
        if backup.id in self.away:
            raise BackupDriverException("the store is away")
        return {one for one in names if (backup.id, one) not in self.unneeded}


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, holdfast: Shell) -> Driver:
    made = Driver()
    monkeypatch.setattr(OwnStore, "driver", lambda _self: made)
    for one in holdfast.records.backups.list():  # of the tests before
        holdfast.records.backups.destroy(one.id)
    Path(holdfast.conf.state_path, "scrub.json").unlink(missing_ok=True)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeutils, "utcnow", lambda *_args, **_named: NOW)


def backup(holdfast: Shell, volume: str, days: float = 0, **columns: Any) -> str:
    moment = NOW - datetime.timedelta(days=days)
    given = {"id": str(uuid.uuid4()), "volume_id": volume, "host": "cli", "service": DRIVER}
    given |= {"status": "available", "size": 1, "project_id": "p", "service_metadata": "s"}
    times = {"created_at": moment, "data_timestamp": moment}
    return str(holdfast.records.backups.create(**{**given, **times, **columns}).id)


def volume(holdfast: Shell, **columns: Any) -> str:
    given = {"id": str(uuid.uuid4()), "host": "cli@local#local", "status": "available", "size": 1}
    return str(holdfast.records.volumes.create(**{**given, "project_id": "p", **columns}).id)


def policy(tmp_path: Path, text: str) -> str:
    path = tmp_path / "backups.toml"
    path.write_text(f'[[policy]]\nname = "n"\nhost = "cli"\n{text}\n')
    return str(path)


class TestScrub:
    def test_whole_backups_are_read_oldest_first(self, holdfast: Shell, driver: Driver) -> None:
        new, old = backup(holdfast, "v", 1), backup(holdfast, "v", 2)
        backup(holdfast, "v", 3, status="error")
        backup(holdfast, "v", 3, service="other")
        backup(holdfast, "v", 3, host="elsewhere")
        ran = holdfast("backup", "scrub", "--rate", "7", "-f", "json")
        assert (ran.status, driver.read) == (0, [(old, 7.0), (new, 7.0)]), ran.errors
        assert [row["outcome"] for row in ran.rows] == ["whole", "whole"]
        newest = backup(holdfast, "v")
        ran = holdfast("backup", "scrub", "--dry-run", "-f", "json")
        assert [row["backup_id"] for row in ran.rows] == [newest, old, new]

    def test_damage_is_named_with_those_that_need_it(self, holdfast: Shell, driver: Driver) -> None:
        full = backup(holdfast, "v", 3)
        leaf = backup(holdfast, "v", 2, parent_id=full)
        last = backup(holdfast, "v", 1, parent_id=leaf)
        driver.damage[full] = [Damage("o-1", 0, 5, "cut"), Damage("o-2", 5, 9, "flipped")]
        driver.unneeded.add((leaf, "o-1"))
        driver.away.add(last)  # its chain cannot be read: it may need all
        ran = holdfast("backup", "scrub", full, "-f", "json")
        assert ran.status == 1
        assert [(row["object"], row["start"], row["needed_by"]) for row in ran.rows] == [
            ("o-1", 0, [full, last]),
            ("o-2", 5, [full, leaf, last]),
        ]
        stored = json.loads(Path(holdfast.conf.state_path, "scrub.json").read_text())
        assert stored["backups"][full]["damaged"] == ["o-1", "o-2"]

    def test_a_store_that_is_away_says_nothing(self, holdfast: Shell, driver: Driver) -> None:
        one = backup(holdfast, "v")
        driver.away.add(one)
        ran = holdfast("backup", "scrub", "-f", "json")
        assert (ran.status, [row["outcome"] for row in ran.rows]) == (1, ["not read"])
        assert not Path(holdfast.conf.state_path, "scrub.json").exists() or (
            one not in Path(holdfast.conf.state_path, "scrub.json").read_text()
        )

    def test_one_that_is_deleted_meanwhile_is_no_failure(
        self, holdfast: Shell, driver: Driver
    ) -> None:
        one = backup(holdfast, "v")
        driver.away.add(one)
        driver.meanwhile = lambda: holdfast.records.backups.destroy(one)
        ran = holdfast("backup", "scrub", "-f", "json")
        assert (ran.status, [row["outcome"] for row in ran.rows]) == (0, ["changed meanwhile"])

    def test_a_child_that_is_deleted_meanwhile_needs_nothing(
        self, holdfast: Shell, driver: Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        full = backup(holdfast, "v", 2)
        leaf = backup(holdfast, "v", 1, parent_id=full)
        driver.damage[full] = [Damage("o-1", 0, 5, "cut")]
        real = scrub.with_all_below

        def walk(first: str, children: Callable[[str], Any]) -> list[str]:
            listed = [*real(first, children)]
            holdfast.records.backups.destroy(leaf)
            return listed

        monkeypatch.setattr(scrub, "with_all_below", walk)
        ran = holdfast("backup", "scrub", full, "-f", "json")
        assert [(row["outcome"], row["needed_by"]) for row in ran.rows] == [("damaged", [full])]

    @pytest.mark.parametrize("moment", ["before", "meanwhile"])
    def test_a_store_that_is_not_mounted_is_no_damage(
        self, holdfast: Shell, driver: Driver, tmp_path: Path, moment: str
    ) -> None:
        name = f"{holdfast.conf.host} {options.driver_class(holdfast.conf)[1][0]}"
        shutil.rmtree(Path(holdfast.conf.state_path, "directories"), ignore_errors=True)
        driver.directory = tmp_path / "store"
        DirectoryMark(name, holdfast.conf.state_path, bool).check_directory(driver.directory)
        one = backup(holdfast, "v")
        assert holdfast("backup", "scrub", "-f", "json").status == 0
        driver.damage[one] = [Damage("o-1", 0, 0, "it is missing")]

        def unmount() -> None:
            shutil.move(tmp_path / "store", tmp_path / "away")
            (tmp_path / "store").mkdir()

        if moment == "before":
            unmount()
        else:
            driver.meanwhile = unmount
        ran = holdfast("backup", "scrub", "-f", "json")
        assert (ran.status, [row["outcome"] for row in ran.rows]) == (1, ["not read"])
        assert "mount its file system there" in ran.rows[0]["reason"]
        assert [*(tmp_path / "store").iterdir()] == []

    def test_a_broken_file_of_times_is_begun_anew(self, tmp_path: Path) -> None:
        (tmp_path / "scrub.json").write_text('{"backups": [')
        state = ScrubState(str(tmp_path))
        state.note("a", [])
        state.note("b", ["o"])
        state.write(["b"])
        assert json.loads((tmp_path / "scrub.json").read_text())["backups"].keys() == {"b"}


class TestPrune:
    def test_what_would_be_done(self, holdfast: Shell, driver: Driver) -> None:
        full = backup(holdfast, "v1", 3)
        middle = backup(holdfast, "v1", 2, parent_id=full)
        last = backup(holdfast, "v1", 1, parent_id=middle)
        backup(holdfast, "v2", 9)
        asked = ("backup", "prune", "--volume", "v1", "--dry-run", "-f", "json")
        ran = holdfast(*asked, "--keep-last", "1")
        assert ran.status == 0, ran.errors
        assert [(row["backup_id"], row["action"]) for row in ran.rows] == [
            (middle, "hand on"),
            (full, "delete"),
        ]
        assert {row["outcome"] for row in ran.rows} == {"would be deleted"}
        assert holdfast(*asked, "--keep-last", "3").rows == []
        assert holdfast.records.backups.get(last).status == "available"

    def test_a_damaged_one_keeps_no_whole_one_from_being_kept(
        self, holdfast: Shell, driver: Driver
    ) -> None:
        whole = backup(holdfast, "vd", 4)
        full = backup(holdfast, "vd", 3)
        leaf = backup(holdfast, "vd", 2, parent_id=full)
        spared = backup(holdfast, "vd", 1.5, parent_id=full)
        driver.damage[full] = [Damage("o-1", 0, 5, "cut")]
        driver.unneeded.add((spared, "o-1"))
        assert holdfast("backup", "scrub", "-f", "json").status == 1
        later = backup(holdfast, "vd", 1, parent_id=leaf)
        asked = ("backup", "prune", "--volume", "vd", "--dry-run", "-f", "json")
        ran = holdfast(*asked, "--keep-last", "1")
        assert [row["backup_id"] for row in ran.rows] == [whole], ran.rows
        holdfast.records.backups.update(spared, status="error")
        assert holdfast(*asked, "--keep-last", "1").rows == []
        holdfast.records.backups.destroy(later)
        newest = backup(holdfast, "vd", 0)
        ran = holdfast(*asked, "--keep-last", "1")
        assert [row["backup_id"] for row in ran.rows] == [leaf, full, whole], newest

    @pytest.mark.parametrize(
        "words", [["--volume", "v1"], ["--volume", "none", "--keep-last", "1"]]
    )
    def test_mistakes(self, holdfast: Shell, driver: Driver, words: list[str]) -> None:
        backup(holdfast, "v1")
        assert holdfast("backup", "prune", *words).status == 1

    def test_a_refusal_is_told(self, holdfast: Shell, driver: Driver) -> None:
        full = backup(holdfast, "v1", 3)
        backup(holdfast, "v1", 2, parent_id=full, status="error")
        backup(holdfast, "v1", 1)
        ran = holdfast("backup", "prune", "--volume", "v1", "--keep-last", "1", "-f", "json")
        assert (ran.status, [row["outcome"] for row in ran.rows]) == (1, ["refused"])
        assert holdfast.records.backups.get(full).status == "available"


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
            (2, "creating", []),
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

    def test_one_that_is_handed_on_stays_available(self, holdfast: Shell, driver: Driver) -> None:
        full = backup(holdfast, "v1", 3)
        backup(holdfast, "v1", 2, parent_id=full)
        ran = holdfast("backup", "delete", full, "--hand-on")
        assert ran.status == 0, ran.errors
        assert holdfast.records.backups.get(full).status == "available"
