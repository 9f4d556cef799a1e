# SPDX-License-Identifier: Apache-2.0
"""holdfast backup scrub and prune."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_utils import timeutils

from drivers.interface.backup import Damage
from tests.unit.cli.chains.conftest import Driver, backup
from tests.unit.cli.conftest import Shell
from worker.backends.directory_mark import DirectoryMark
from worker.cli.access import Access, CommandError
from worker.cli.casting import on_demand
from worker.cli.chains import scrub
from worker.cli.chains.scrub_state import ScrubState
from worker.conf.option_groups import backup as options


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

    def test_one_that_could_not_be_handed_on_is_kept_for_a_day(
        self, holdfast: Shell, driver: Driver
    ) -> None:
        full = backup(holdfast, "v1", 3)
        backup(holdfast, "v1", 2, parent_id=full)
        holdfast.records.backups.update(full, fail_reason="its chain stays as it is")
        asked = ("backup", "prune", "--volume", "v1", "--keep-last", "1", "-f", "json")
        ran = holdfast(*asked)
        [row] = ran.rows
        assert (ran.status, row["outcome"]) == (0, "kept"), row
        assert row["reason"] == "its chain stays as it is"
        before = timeutils.utcnow() - datetime.timedelta(days=1, minutes=1)
        holdfast.records.backups.update(full, updated_at=before)
        [row] = holdfast(*asked, "--dry-run").rows
        assert row["outcome"] == "would be deleted"

    def test_one_that_an_earlier_run_hands_on_is_not_asked_for_again(
        self, holdfast: Shell, driver: Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        full = backup(holdfast, "v1", 3)
        backup(holdfast, "v1", 2, parent_id=full)
        running = SimpleNamespace(flow="f-1", resource=f"backup {full}")
        other = SimpleNamespace(flow="f-2", resource="backup another")
        entries = SimpleNamespace(entries=lambda among: [other, running] if among else [])
        monkeypatch.setattr(Access, "journal", entries)
        asked = ("backup", "prune", "--volume", "v1", "--keep-last", "1", "-f", "json")
        ran = holdfast(*asked)
        [row] = ran.rows
        assert (ran.status, row["outcome"]) == (0, "goes on"), row
        assert row["reason"] == "see: holdfast flow show f-1"

    def test_a_backup_of_a_dead_service_is_left_alone(
        self, holdfast: Shell, driver: Driver
    ) -> None:
        backup(holdfast, "v1", 2, host="dead")
        old = backup(holdfast, "v1", 3, host="dead")
        asked = ("backup", "prune", "--volume", "v1", "--keep-last", "1", "-f", "json")
        ran = holdfast(*asked)
        assert (ran.status, [row["outcome"] for row in ran.rows]) == (1, ["not up"])
        assert holdfast.records.backups.get(old).status == "available"

    def test_one_is_kept_while_a_backup_that_builds_on_it_is_in_use(
        self, holdfast: Shell, driver: Driver
    ) -> None:
        full = backup(holdfast, "v1", 3)
        child = backup(holdfast, "v1", 2, parent_id=full, status="error")
        backup(holdfast, "v1", 1)
        ran = holdfast("backup", "prune", "--volume", "v1", "--keep-last", "1", "-f", "json")
        [row] = ran.rows
        assert (ran.status, row["outcome"]) == (0, "kept")
        assert row["reason"] == f"backup {child}, which builds on it, is error"
        assert holdfast.records.backups.get(full).status == "available"

    def test_a_refusal_is_a_failure(
        self, holdfast: Shell, driver: Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_args: object, **_named: object) -> None:
            raise CommandError("it was changed meanwhile")

        monkeypatch.setattr(on_demand, "backup_requests", refuse)
        middle = backup(holdfast, "v1", 3)
        full = backup(holdfast, "v1", 4)
        holdfast.records.backups.update(middle, parent_id=full)
        backup(holdfast, "v1", 1)
        ran = holdfast("backup", "prune", "--volume", "v1", "--keep-last", "1", "-f", "json")
        assert ran.status == 1
        assert [(row["backup_id"], row["action"], row["outcome"]) for row in ran.rows] == [
            (middle, "delete", "refused"),
            (full, "hand on", "refused"),  # the one that builds on it is still there
        ]

    def test_one_that_is_handed_on_stays_available(self, holdfast: Shell, driver: Driver) -> None:
        full = backup(holdfast, "v1", 3)
        backup(holdfast, "v1", 2, parent_id=full)
        ran = holdfast("backup", "delete", full, "--hand-on")
        assert ran.status == 0, ran.errors
        assert holdfast.records.backups.get(full).status == "available"
