# SPDX-License-Identifier: Apache-2.0
"""Backups on the command line."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.cloud import PATIENCE
from tests.servers import until
from tests.servers.forked import command

Ran = subprocess.CompletedProcess[str]


def holdfast(cloud: BackupCloud, *words: str, text: str | None = None) -> Ran:
    config = ("--config-file", str(cloud.backup_service.config))
    return command("worker.cli.main", *config, *words, text=text)


def done(cloud: BackupCloud, *words: str, text: str | None = None) -> str:
    ran = holdfast(cloud, *words, text=text)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def made(cloud: BackupCloud, volume_id: str, *words: str) -> str:
    out = done(cloud, "backup", "create", "--volume", volume_id, "--wait", *words)
    assert out.splitlines()[-1] == "available"
    # The tasks of both flows: that asks for the device, and that makes the backup.
    assert re.search(r"\n  ask +SUCCESS.*\n  keep +SUCCESS.*\n  finish +SUCCESS", out, re.S)
    return out.split()[1]


class TestWords:
    def test_a_life(self, cloud: BackupCloud) -> None:
        volume, target = cloud.filled(41), cloud.filled(42)
        full = made(cloud, volume.id, "--name", "nightly")
        cloud.scribble(volume, 43)
        leaf = made(cloud, volume.id, "--incremental")
        listed = json.loads(done(cloud, "backup", "list", "--volume", volume.id, "-f", "json"))
        assert [(one["id"], one["kind"], one["status"]) for one in listed] == [
            (leaf, "incremental", "available"),
            (full, "full", "available"),
        ]
        shown = json.loads(done(cloud, "backup", "show", full[:13], "-f", "json"))
        assert (shown["display_name"], shown["needed_by"]) == ("nightly", [leaf])

        assert "is whole" in done(cloud, "backup", "verify", leaf)
        out = done(cloud, "backup", "restore", leaf, "--volume", target.id, "--wait")
        assert re.search(r"bring +SUCCESS", out) and out.splitlines()[-1] == "available"
        assert cloud.same(volume, target)

        refused = holdfast(cloud, "backup", "delete", full)
        assert refused.returncode == 1 and leaf in refused.stderr
        for backup in (leaf, full):
            assert done(cloud, "backup", "delete", backup, "--wait").endswith("deleted\n")

    def test_damage_is_told_in_one_line(self, cloud: BackupCloud) -> None:
        backup = cloud.records.backups.get(made(cloud, cloud.filled(44).id))
        [first] = (cloud.store / backup.container).glob("*-00001")
        first.write_bytes(first.read_bytes()[:-1] + b"!")
        ran = holdfast(cloud, "backup", "verify", backup.id)
        assert ran.returncode == 1
        [line] = ran.stderr.splitlines()
        assert f"{first.name} is damaged" in line

    def test_a_volume_in_use_wants_force(self, cloud: BackupCloud) -> None:
        volume = cloud.filled(45, status="in-use")
        ran = holdfast(cloud, "backup", "create", "--volume", volume.id)
        assert ran.returncode == 1 and "--force" in ran.stderr
        made(cloud, volume.id, "--force")
        assert cloud.status(volume) == "in-use"

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"backup_service": "x", "backup_url": 7}'])
    def test_a_record_that_is_none(self, cloud: BackupCloud, text: str) -> None:
        ran = holdfast(cloud, "backup", "import", "-", text=text)
        assert ran.returncode == 1 and len(ran.stderr.splitlines()) == 1

    def test_a_record_goes_into_an_installation_that_lost_its_rows(
        self, cloud: BackupCloud
    ) -> None:
        import sqlalchemy as sa

        from worker.db import models

        volume, target = cloud.filled(46), cloud.filled(47)
        backup_id = made(cloud, volume.id)
        record = done(cloud, "backup", "export", backup_id)
        with cloud.database.writer() as connection:
            of_it = models.backups.c.id == backup_id
            connection.execute(sa.delete(models.backups).where(of_it))
        out = done(cloud, "backup", "import", "-", "--wait", text=record)
        assert out.splitlines() == [f"backup {backup_id}", *out.splitlines()[1:-1], "available"]
        done(cloud, "backup", "restore", backup_id, "--volume", target.id, "--wait")
        assert cloud.same(volume, target)


class TestCancel:
    @pytest.mark.lasts(50)
    def test_a_restore_ends_and_the_backup_is_as_before(self, slow_cloud: BackupCloud) -> None:
        cloud = slow_cloud
        volume = cloud.filled(56)
        cloud.scribble(volume, 57, places=24)
        backup = cloud.made(volume)
        target = cloud.filled(58)
        cloud.restore(backup, target)
        until(lambda: _is_at(cloud, backup.id), PATIENCE, "the restore to move data")
        assert "is reverted" in done(cloud, "backup", "cancel", backup.id)
        cloud.wait_status(target, "error_restoring")
        cloud.wait_status(backup, "available")

        done(cloud, "backup", "restore", backup.id, "--volume", volume.id, "--wait")
        assert cloud.status(volume) == "available"


def _is_at(cloud: BackupCloud, backup_id: str) -> bool:
    shown = json.loads(done(cloud, "backup", "show", backup_id, "-f", "json"))
    return bool(re.match(r"\d+ %", str(shown.get("progress", ""))))


class TestProgress:
    def test_it_is_shown_and_can_be_ended(self, slow_cloud: BackupCloud) -> None:
        cloud = slow_cloud
        volume = cloud.filled(48)
        cloud.scribble(volume, 49, places=400)  # minutes of it: it is cancelled on the way
        out = done(cloud, "backup", "create", "--volume", volume.id)
        backup_id = out.split()[1]
        seen: list[str] = []

        def told() -> bool:
            shown = json.loads(done(cloud, "backup", "show", backup_id, "-f", "json"))
            seen.append(str(shown.get("progress", "")))
            return bool(
                re.fullmatch(r"\d+ %, .+ of 1\.0 GiB, \d+ MB/s, \d+:\d\d:\d\d left", seen[-1])
            )

        until(told, PATIENCE, "the progress to be told")
        [line] = json.loads(done(cloud, "backup", "list", "-f", "json"))
        assert line["done"].endswith(" %") and line["speed"].endswith(" MB/s")
        assert re.fullmatch(r"\d+ B|[\d.]+ [KMG]iB", line["copied"])
        assert "is reverted" in done(cloud, "backup", "cancel", backup_id)
        row = cloud.wait_status(cloud.records.backups.get(backup_id), "error")
        assert row is not None and row.fail_reason
        cloud.wait_status(volume, "available")
