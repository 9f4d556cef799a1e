# SPDX-License-Identifier: Apache-2.0
"""Calls of backup drivers of Cinder's, over Cinder's own tables."""

from __future__ import annotations

import importlib.util
import os
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.interface.errors import BackupDriverException  # noqa: E402
from drivers.interface.pace import Pace  # noqa: E402
from tests.backups import MIB, Metadata, posix, scribble  # noqa: E402
from tests.conformance import cinders  # noqa: E402
from tests.conformance.loading import load  # noqa: E402

SIZE = 4 * MIB
BLOCK = 4096


class Ended(Exception):
    """The copy is to end."""


class Stopping(BaseException):
    """The process is to end."""


class Guest:
    """A driver in the adapter, its rows, and a volume."""

    def __init__(self, directory: Path, path: str, **options: Any) -> None:
        self.directory = directory / "store"
        self.work = directory / "work"
        given = {"guest_directory": str(self.directory), "backup_work_path": str(self.work)}
        self._options = {**given, "guest_piece": 65536, **options}
        self._kind, self.metadata = load(path, "backup"), Metadata()
        self.driver = self.again()
        self.rows = cinders.StoreRows()
        self.volume, self.target = directory / "volume", directory / "target"
        scribble(self.volume, random.Random(3), SIZE)
        self.target.write_bytes(os.urandom(SIZE))

    def again(self) -> Any:
        """Return another instance, as of another process."""
        made = self._kind(cinders.store_configuration(self._options), metadata=self.metadata)
        made.check_for_setup_error()
        return made

    def back_up(self, row: dict[str, Any], **more: Any) -> None:
        self.rows.back_up(self.driver, row, self.volume, **more)

    def row(self, row: dict[str, Any]) -> Any:
        """Return the row as the database has it."""
        return self.rows._records.backups.get(row["id"])

    @property
    def stored(self) -> list[str]:
        return sorted(os.listdir(self.directory))


@pytest.fixture
def guest(tmp_path: Path) -> Callable[..., Guest]:
    def made(name: str = "FileGuest", **options: Any) -> Guest:
        return Guest(tmp_path, f"tests.cinder.backups.guests.{name}", **options)

    return made


@pytest.mark.parametrize("name", ["FileGuest", "OlderGuest"])
def test_data_and_metadata_go_round(guest: Callable[..., Guest], name: str) -> None:
    it = guest(name)
    row = it.rows.new()
    it.back_up(row)

    assert (row["object_count"], row["service_metadata"]) == (1, it.stored[0])
    assert it.row(row).service_metadata == it.stored[0]
    it.rows.restore(it.driver, row, it.target)
    assert it.target.read_bytes() == it.volume.read_bytes()
    assert it.metadata.put_back
    it.driver.delete_backup(it.rows.record(row))
    assert it.stored == []


def test_the_driver_says_whether_a_running_backup_may_be_deleted(
    guest: Callable[..., Guest],
) -> None:
    assert guest().driver.support_force_delete is True


def test_columns_of_the_worker_stay_whatever_the_driver_writes(
    guest: Callable[..., Guest], caplog: pytest.LogCaptureFixture
) -> None:
    it = guest("StatusGuest")
    row = it.rows.new(host="h1")
    it.back_up(row)

    found = it.row(row)
    assert (found.status, found.fail_reason, found.host) == ("creating", None, "h1")
    assert "fail_reason, host, status" in caplog.text
    assert "no_such_column" not in row


@pytest.mark.parametrize("name", ["FileGuest", "SwallowingGuest"])
@pytest.mark.parametrize("ending", [Ended, Stopping])
def test_the_end_of_a_copy_passes_the_driver(
    guest: Callable[..., Guest], name: str, ending: type[BaseException]
) -> None:
    it = guest(name)

    def report(fraction: float) -> None:
        if fraction > 0.4:
            raise ending

    with pytest.raises(ending):
        it.back_up(it.rows.new(), pace=Pace(progress=report))


def test_a_backup_that_was_interrupted_is_removed_and_made_again(
    guest: Callable[..., Guest],
) -> None:
    it, told = guest(), []

    def report(fraction: float) -> None:
        told.append(fraction)
        if fraction > 0.4:
            raise Stopping

    row = it.rows.new()
    with pytest.raises(Stopping):
        it.back_up(row, pace=Pace(progress=report))
    [half] = it.stored
    assert [path.name for path in it.work.iterdir()] == [f"{row['id']}.begun"]

    it.driver = it.again()
    it.back_up(row)
    assert half not in it.stored and len(it.stored) == 1
    assert list(it.work.iterdir()) == []
    assert told == sorted(told) and told[0] == 0
    it.rows.restore(it.driver, row, it.target)
    assert it.target.read_bytes() == it.volume.read_bytes()


def test_moved_bytes_are_counted(guest: Callable[..., Guest]) -> None:
    it, moved = guest(), []
    row = it.rows.new()
    it.back_up(row, pace=Pace(moved=moved.append))
    assert sum(moved) == SIZE

    with open(it.target, "r+b") as file:
        it.driver.restore(it.rows.record(row), "v", file, pace=Pace(moved=moved.append))
    assert sum(moved) == 2 * SIZE


def test_facts_of_the_progress_are_the_workers_to_send(guest: Callable[..., Guest]) -> None:
    it, facts, seen = guest("NotifyingGuest"), [], []

    def report(_fraction: float) -> None:
        seen.append(dict(facts[0]()))

    it.back_up(it.rows.new(), pace=Pace(progress=report, show=facts.append))

    assert seen[-1].keys() == {"id", "list", "prefix"}
    assert (seen[-1]["id"], len(seen[-1]["list"])) == (3, 10_000)


def test_an_error_of_the_driver_is_one_of_the_store(guest: Callable[..., Guest]) -> None:
    it = guest()
    row = it.rows.new()
    it.directory.rmdir()
    it.directory.write_bytes(b"")

    with pytest.raises(BackupDriverException, match="NotADirectoryError"):
        it.back_up(row)
    assert list(it.work.iterdir()) == []


def test_the_instance_has_the_context_of_the_request(guest: Callable[..., Guest]) -> None:
    it = guest()
    request = SimpleNamespace(user_id="u", project_id="p", auth_token="t", is_admin=False)
    record = it.rows.record(it.rows.new())
    made = it.driver.for_request(request, record)._made()

    assert (made.context.user_id, made.context.project_id) == ("u", "p")
    assert made.context.auth_token == "t"
    assert it.driver._made().context.is_admin


def test_backups_of_cinders_driver_and_of_ours_are_the_same(
    guest: Callable[..., Guest], tmp_path: Path
) -> None:
    sizes = {"backup_file_size": 64 * BLOCK, "backup_sha_block_size_bytes": BLOCK}
    it = guest("PosixGuest", backup_posix_path=str(tmp_path / "both"), **sizes)
    ours = posix(tmp_path, backup_posix_path=str(tmp_path / "both"), metadata=Metadata())
    full, leaf = it.rows.new(), None
    it.back_up(full)
    leaf = it.rows.new(full)
    scribble(it.volume, random.Random(4), SIZE)
    it.rows.back_up(ours, leaf, it.volume)
    third = it.rows.new(leaf)
    it.back_up(third)

    for driver in (it.driver, ours):
        for row in (leaf, third):
            it.target.write_bytes(os.urandom(SIZE))
            it.rows.restore(driver, {**row, "status": "restoring"}, it.target)
            assert it.target.read_bytes() == it.volume.read_bytes()
