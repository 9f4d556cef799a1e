# SPDX-License-Identifier: Apache-2.0
"""Policies of backups: their file, their volumes and their times."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from worker.cli.access import CommandError
from worker.cli.chains import policies, schedule
from worker.cli.chains.policies import Policy
from worker.cli.chains.schedule import Schedule

NIGHTLY = """
[[policy]]
name = "nightly"
projects = ["p"]
volume_types = ["gold"]
every = "1d"
full_every = "4w"
window = "22:00-05:00"
jitter = "3h"
keep_last = 3
keep_daily = 7
"""


def read(tmp_path: Path, text: str) -> list[Policy]:
    path = tmp_path / "backups.toml"
    path.write_text(text)
    return policies.read(str(path))


def at(hour: int, minute: int = 0, day: int = 10) -> datetime.datetime:
    return datetime.datetime(2026, 3, day, hour, minute)


class TestFile:
    def test_all_of_it_is_read(self, tmp_path: Path) -> None:
        [found] = read(tmp_path, NIGHTLY)
        assert (found.name, found.retention.last, found.retention.daily) == ("nightly", 3, 7)
        assert found.schedule is not None
        assert found.schedule.full_every == datetime.timedelta(weeks=4)
        assert found.name_at(at(22, 5)) == "nightly-2026-03-10-22-05"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("x = 1", "only tables"),
            ("policy = [1]", "entry 1 of policy is 1: write a table"),
            ('policy = [{name = "a"}, "nightly"]', "entry 2 of policy is 'nightly'"),
            ("policy = [[]]", "entry 1 of policy"),
            ("policy = 1", "only tables"),
            ('[policy]\nname = "a"', "only tables"),
            ('[[policy]]\nname = ["a"]', "has no name"),
            ('[[policy]]\nname = "a"\nevery = ["1d"]', "no time such as"),
            ('[[policy]]\nname = "a"\nkeep_last = "3"', "no number of backups"),
            ('[[policy]]\nname = "a"\nhost = ""', "host is no text"),
            ('[[policy]]\nname = "a"\nhost = 1', "host is no text"),
            ("[[policy]]", "has no name"),
            ("[[policy]\n", "is no TOML"),
            ('[[policy]]\nname = "a"\nkeep = 1', "keep is unknown"),
            ('[[policy]]\nname = "a"\nkeep_last = -1', "no number of backups"),
            ('[[policy]]\nname = "a"\nevery = "soon"', "no time such as"),
            ('[[policy]]\nname = "a"\nevery = "0d"', "no time such as"),
            ('[[policy]]\nname = "a"\nwindow = "22:00-05:00"', "window needs every"),
            ('[[policy]]\nname = "a"\nevery = "1d"\nwindow = "22-5"', "no window such as"),
            ('[[policy]]\nname = "a"\nevery = "1d"\njitter = "1h"', "jitter needs a window"),
            (
                '[[policy]]\nname = "a"\nevery = "1d"\nwindow = "01:00-02:00"\njitter = "1h"',
                "20 minutes longer than jitter",
            ),
            (
                '[[policy]]\nname = "a"\nevery = "1d"\nwindow = "01:00-02:00"\njitter = "50m"',
                "20 minutes longer than jitter",
            ),
            (
                '[[policy]]\nname = "a"\nevery = "1d"\nwindow = "01:00-01:10"',
                "20 minutes longer than jitter",
            ),
            ('[[policy]]\nname = "a"\nvolumes = "v"', "no list of texts"),
            ('[[policy]]\nname = "a"\nvolumes = []', "volumes is empty"),
            ('[[policy]]\nname = "a"\nvolume_types = []', "volume_types is empty"),
            ('[[policy]]\nname = "a"\nprojects = []\nall_backups = true', "projects is empty"),
            ('[[policy]]\nname = "a"\nforce = 1', "neither true nor false"),
            ('[[policy]]\nname = "a"\n[[policy]]\nname = "a"', "another policy has this name"),
            ('[[policy]]\nname = "a"\n[[policy]]\nname = "a-b"', "another policy has this name"),
        ],
    )
    def test_mistakes_are_named(self, tmp_path: Path, text: str, reason: str) -> None:
        with pytest.raises(CommandError, match=reason):
            read(tmp_path, text)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="No such file"):
            policies.read(str(tmp_path / "none"))


class TestVolumes:
    @pytest.mark.parametrize(
        ("columns", "type_name", "wanted"),
        [
            ({}, "gold", True),
            ({"volume_type_id": "gold"}, None, True),
            ({}, "silver", False),
            ({"project_id": "other"}, "gold", False),
        ],
    )
    def test_it_is_in_every_list(
        self, tmp_path: Path, columns: dict[str, Any], type_name: str | None, wanted: bool
    ) -> None:
        [policy] = read(tmp_path, NIGHTLY)
        volume = {"id": "v", "project_id": "p", "volume_type_id": "t", **columns}
        assert policy.applies_to(Record("volume", volume), type_name) is wanted

    def test_only_its_own_backups_are_deleted(self, tmp_path: Path) -> None:
        [policy] = read(tmp_path, NIGHTLY)
        names = {"nightly-2026-03-10-22-05": True, "nightlyx": False, "mine": False}
        names |= {"nightly-before the upgrade": False, "nightly-2026-03-10-22-05-mine": False}
        assert {n: policy.is_own(Record("backup", {"display_name": n})) for n in names} == names
        [greedy] = read(tmp_path, NIGHTLY + "all_backups = true")
        assert greedy.is_own(Record("backup", {"display_name": None}))


class TestSchedule:
    NIGHT = schedule.window("22:00-05:00")

    @pytest.mark.parametrize(
        ("hour", "wanted"),
        [(21, False), (22, True), (23, True), (4, True), (5, False), (12, False)],
    )
    def test_a_window_over_midnight(self, hour: int, wanted: bool) -> None:
        assert (
            Schedule(schedule.span("1d"), window=self.NIGHT).is_due("v", None, at(hour)) is wanted
        )

    @pytest.mark.parametrize(("hours", "wanted"), [(1, False), (23, False), (24, True)])
    def test_the_time_between_two(self, hours: int, wanted: bool) -> None:
        newest = at(23) - datetime.timedelta(hours=hours)
        assert Schedule(schedule.span("1d")).is_due("v", newest, at(23)) is wanted

    @pytest.mark.parametrize(("minutes", "wanted"), [(31, False), (30, True), (-15, True)])
    def test_a_late_one_does_not_move_those_of_later_nights(
        self, minutes: int, wanted: bool
    ) -> None:
        newest = at(22) + datetime.timedelta(minutes=minutes)
        found = Schedule(schedule.span("1d"), window=self.NIGHT)
        assert found.is_due("v", newest, at(22, day=11)) is wanted

    def test_volumes_are_spread_over_the_jitter(self) -> None:
        found = Schedule(schedule.span("1d"), window=self.NIGHT, jitter=schedule.span("3h"))
        volumes = [f"volume {number}" for number in range(60)]
        due = [sum(found.is_due(one, None, at(hour)) for one in volumes) for hour in (22, 23)]
        due += [
            sum(found.is_due(one, None, at(hour, day=11)) for one in volumes) for hour in (0, 1)
        ]
        assert due[0] < due[1] < due[2] < due[3] == 60
        assert 8 < due[1] < 32

    @pytest.mark.parametrize(
        ("full_every", "days", "wanted"),
        [(None, 0, True), ("7d", None, True), ("7d", 6, False), ("7d", 7, True)],
    )
    def test_full_ones(self, full_every: str | None, days: int | None, wanted: bool) -> None:
        found = Schedule(schedule.span("1d"), schedule.span(full_every) if full_every else None)
        newest = None if days is None else at(22) - datetime.timedelta(days=days)
        assert found.wants_full(newest, at(22)) is wanted
