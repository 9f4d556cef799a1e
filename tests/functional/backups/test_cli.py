# SPDX-License-Identifier: Apache-2.0
"""Backups on the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.backups.vault import Vault
from tests.functional.cloud import PATIENCE
from tests.servers import until

PROGRAM = str(Path(sys.executable).with_name("holdfast"))

Ran = subprocess.CompletedProcess[str]


def holdfast(vault: Vault, *words: str, text: str | None = None) -> Ran:
    argv = [PROGRAM, "--config-file", str(vault.backup_service.config), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, input=text)


def done(vault: Vault, *words: str, text: str | None = None) -> str:
    ran = holdfast(vault, *words, text=text)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def made(vault: Vault, volume_id: str, *words: str) -> str:
    out = done(vault, "backup", "create", "--volume", volume_id, "--wait", *words)
    assert out.splitlines()[-1] == "available"
    return out.split()[1]


class TestWords:
    def test_a_life(self, vault: Vault) -> None:
        volume, target = vault.filled(41), vault.filled(42)
        full = made(vault, volume.id, "--name", "nightly")
        vault.scribble(volume, 43)
        leaf = made(vault, volume.id, "--incremental")
        listed = json.loads(done(vault, "backup", "list", "--volume", volume.id, "-f", "json"))
        assert [(one["ID"], one["Kind"], one["Status"]) for one in listed] == [
            (leaf, "incremental", "available"),
            (full, "full", "available"),
        ]
        shown = json.loads(done(vault, "backup", "show", full[:13], "-f", "json"))
        assert (shown["display_name"], shown["needed_by"]) == ("nightly", [leaf])

        assert "is whole" in done(vault, "backup", "verify", leaf)
        out = done(vault, "backup", "restore", leaf, "--volume", target.id, "--wait")
        assert re.search(r"bring +SUCCESS", out) and out.splitlines()[-1] == "available"
        assert vault.same(volume, target)

        refused = holdfast(vault, "backup", "delete", full)
        assert refused.returncode == 1 and leaf in refused.stderr
        for backup in (leaf, full):
            assert done(vault, "backup", "delete", backup, "--wait").endswith("deleted\n")

    def test_damage_is_told_in_one_line(self, vault: Vault) -> None:
        backup = vault.records.backups.get(made(vault, vault.filled(44).id))
        [first] = (vault.store / backup.container).glob("*-00001")
        first.write_bytes(first.read_bytes()[:-1] + b"!")
        ran = holdfast(vault, "backup", "verify", backup.id)
        assert ran.returncode == 1
        [line] = ran.stderr.splitlines()
        assert f"{first.name} is damaged" in line

    def test_a_volume_in_use_wants_force(self, vault: Vault) -> None:
        volume = vault.filled(45, status="in-use")
        ran = holdfast(vault, "backup", "create", "--volume", volume.id)
        assert ran.returncode == 1 and "--force" in ran.stderr
        made(vault, volume.id, "--force")
        assert vault.status(volume) == "in-use"

    @pytest.mark.parametrize("text", ["", "{}", "[]", '{"backup_service": "x", "backup_url": 7}'])
    def test_a_record_that_is_none(self, vault: Vault, text: str) -> None:
        ran = holdfast(vault, "backup", "import", "-", text=text)
        assert ran.returncode == 1 and len(ran.stderr.splitlines()) == 1

    def test_a_record_goes_into_an_installation_that_lost_its_rows(self, vault: Vault) -> None:
        import sqlalchemy as sa

        from worker.db import models

        volume, target = vault.filled(46), vault.filled(47)
        backup_id = made(vault, volume.id)
        record = done(vault, "backup", "export", backup_id)
        with vault.database.writer() as connection:
            of_it = models.backups.c.id == backup_id
            connection.execute(sa.delete(models.backups).where(of_it))
        out = done(vault, "backup", "import", "-", "--wait", text=record)
        assert out.splitlines() == [f"backup {backup_id}", *out.splitlines()[1:-1], "available"]
        done(vault, "backup", "restore", backup_id, "--volume", target.id, "--wait")
        assert vault.same(volume, target)


class TestCancel:
    def test_a_restore_ends_and_the_backup_is_as_before(self, slow_vault: Vault) -> None:
        vault = slow_vault
        volume = vault.filled(56)
        vault.scribble(volume, 57, places=24)
        backup = vault.made(volume)
        target = vault.filled(58)
        vault.restore(backup, target)
        until(lambda: _is_at(vault, backup.id), PATIENCE, "the restore to move data")
        assert "is undone" in done(vault, "backup", "cancel", backup.id)
        vault.wait_status(target, "error_restoring")
        vault.wait_status(backup, "available")

        done(vault, "backup", "restore", backup.id, "--volume", volume.id, "--wait")
        assert vault.status(volume) == "available"


def _is_at(vault: Vault, backup_id: str) -> bool:
    shown = json.loads(done(vault, "backup", "show", backup_id, "-f", "json"))
    return bool(re.match(r"\d+ %", str(shown.get("progress", ""))))


class TestProgress:
    def test_it_is_shown_and_can_be_ended(self, slow_vault: Vault) -> None:
        vault = slow_vault
        volume = vault.filled(48)
        vault.scribble(volume, 49, places=400)  # minutes of it: it is cancelled on the way
        out = done(vault, "backup", "create", "--volume", volume.id)
        backup_id = out.split()[1]
        seen: list[str] = []

        def told() -> bool:
            shown = json.loads(done(vault, "backup", "show", backup_id, "-f", "json"))
            seen.append(str(shown.get("progress", "")))
            return bool(
                re.fullmatch(r"\d+ %, .+ of 1\.0 GiB, \d+ MB/s, \d+:\d\d:\d\d left", seen[-1])
            )

        until(told, PATIENCE, "the progress to be told")
        [line] = json.loads(done(vault, "backup", "list", "-f", "json"))
        assert line["Done"].endswith(" %") and line["Speed"].endswith(" MB/s")
        assert re.fullmatch(r"\d+ B|[\d.]+ [KMG]iB", line["Copied"])
        assert "is undone" in done(vault, "backup", "cancel", backup_id)
        row = vault.wait_status(vault.records.backups.get(backup_id), "error")
        assert row is not None and row.fail_reason
        vault.wait_status(volume, "available")
