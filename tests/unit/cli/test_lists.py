# SPDX-License-Identifier: Apache-2.0
"""Lists and details of volumes, snapshots and services, and requirements of commands."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from oslo_utils import timeutils

from drivers.interface.records import Record
from tests.unit.cli.conftest import Shell
from worker.cli.access import key_of
from worker.cli.main import Holdfast
from worker.cli.volume import VolumeList

HOST = "cli@local#local"


def volume(holdfast: Shell, volume_id: str, **columns: object) -> Record:
    """Make a volume at rest."""
    row = {"id": volume_id, "size": 1, "host": HOST, "project_id": "p", "status": "available"}
    return holdfast.records.volumes.create(**row, **columns)


def test_volumes_are_listed_by_what_is_asked_for(holdfast: Shell) -> None:
    volume(holdfast, "aa-1", display_name="one")
    holdfast.records.volumes.update("aa-1", status="error")
    volume(holdfast, "aa-2")
    broken = holdfast("volume", "list", "--status", "error", "-f", "json").rows
    newest = holdfast("volume", "list", "--limit", "1", "-f", "json").rows

    assert [(row["id"], row["name"], row["status"]) for row in broken] == [("aa-1", "one", "error")]
    assert len(newest) == 1
    assert holdfast("volume", "list", "--project", "nobody", "-f", "json").rows == []


def test_a_volume_is_found_by_a_clear_beginning(holdfast: Shell) -> None:
    volume(holdfast, "bbbb-1")
    volume(holdfast, "bbbb-22")
    volume(holdfast, "bbbb-2")

    assert holdfast("volume", "show", "bbbb-22", "-f", "json").rows["id"] == "bbbb-22"
    assert holdfast("volume", "show", "bbbb-2", "-f", "json").rows["id"] == "bbbb-2"
    (error,) = holdfast("volume", "show", "bbbb").errors
    assert error.startswith("bbbb is the beginning of several ids: volume bbbb-")
    assert all(name in error for name in ("volume bbbb-1", "volume bbbb-2", "volume bbbb-22"))
    assert "volume xxxx does not exist" in holdfast("volume", "show", "xxxx").errors[0]


def test_a_volume_is_shown_without_its_secrets(holdfast: Shell) -> None:
    volume(holdfast, "cc-1", provider_auth="CHAP user s3cret", metadata={"colour": "red"})
    snapshot = holdfast.records.snapshots.create(volume_id="cc-1", project_id="p")
    ran = holdfast("volume", "show", "cc-1", "-f", "json")

    assert "s3cret" not in ran.out
    assert ran.rows["metadata"] == {"colour": "red"}
    assert ran.rows["snapshots"] == [snapshot.id]


def test_snapshots_are_listed_by_volume(holdfast: Shell) -> None:
    volume(holdfast, "dd-1")
    snapshot = holdfast.records.snapshots.create(volume_id="dd-1", project_id="p")
    volume(holdfast, "dd-2")
    holdfast.records.snapshots.create(volume_id="dd-2", project_id="p")
    (row,) = holdfast("snapshot", "list", "--volume", "dd-1", "-f", "json").rows

    assert (row["id"], row["status"]) == (snapshot.id, "creating")
    assert holdfast("snapshot", "show", snapshot.id[:8], "-f", "json").rows["volume_id"] == "dd-1"


def test_services_are_up_or_down(holdfast: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = {"topic": "cinder-volume", "availability_zone": "nova"}
    versions = {"rpc_version": "3.20", "object_version": "1.39"}
    holdfast.records.services.ensure(host="cli@local", binary="cinder-volume", **zone, **versions)
    (up,) = holdfast("service", "list", "-f", "json").rows
    later = timeutils.utcnow() + datetime.timedelta(seconds=61)
    monkeypatch.setattr(timeutils, "utcnow", lambda: later)
    (down,) = holdfast("service", "list", "-f", "json").rows

    assert (up["host"], up["status"], up["state"]) == ("cli@local", "enabled", "up")
    assert (down["host"], down["state"]) == ("cli@local", "down")


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({}, ("enabled", "", "no", "not-capable")),
        (
            {"disabled": True, "disabled_reason": "frozen", "frozen": True},
            ("disabled", "frozen", "yes", "not-capable"),
        ),
        (
            {"replication_status": "failed-over", "active_backend_id": "second"},
            ("enabled", "", "no", "failed-over to second"),
        ),
    ],
)
def test_services_are_disabled_frozen_or_failed_over(
    holdfast: Shell, columns: dict[str, object], shown: tuple[str, ...]
) -> None:
    zone = {"topic": "cinder-volume", "availability_zone": "nova"}
    versions = {"rpc_version": "3.20", "object_version": "1.39"}
    services = holdfast.records.services
    row = services.ensure(host="cli@local", binary="cinder-volume", **zone, **versions)
    services.update(row.id, **columns)
    (found,) = holdfast("service", "list", "-f", "json").rows
    fresh = {"disabled": False, "disabled_reason": None, "frozen": False}
    fresh |= {"replication_status": "not-capable", "active_backend_id": None}
    services.update(row.id, **fresh)

    names = ("status", "reason", "frozen", "replication")
    assert tuple(found[name] for name in names) == shown


def test_a_listing_makes_no_journal(holdfast: Shell, tmp_path: Path) -> None:
    place = tmp_path / "journal.sqlite"
    holdfast.conf.set_override("connection", f"sqlite:///{place}", group="journal")
    try:
        ran = holdfast("flow", "list")
    finally:
        holdfast.conf.clear_override("connection", group="journal")

    assert ran.status == 1
    assert ran.errors[0].startswith(f"there is no journal {place}: ")
    assert not place.exists()


def test_a_remote_traceback_is_one_line(holdfast: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: object, _binary: object = None) -> None:
        raise RuntimeError("Remote error: X\nTraceback (most recent call last):\n  ...")

    monkeypatch.setattr(type(holdfast.records.services), "list", fail)

    assert holdfast("service", "list").errors == ["Remote error: X"]


def test_help_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys, io; from worker.cli.main import Holdfast\n"
        "app = Holdfast(); app.stdout = io.StringIO(); app.run(['--help'])\n"
        "assert 'flow graph' in app.stdout.getvalue()\n"
        "heavy = {'sqlalchemy', 'taskflow', 'oslo_messaging', 'oslo_config', 'eventlet'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_our_commands_read_no_metadata_of_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cliff reads those of all packages, to name the package of a command in its help."""
    found = "cliff.command._get_distribution_for_module"
    monkeypatch.setattr(found, lambda module: module.__name__)
    other = type("Other", (VolumeList,), {"__module__": "pytest"})

    assert VolumeList(Holdfast(), None).get_epilog() == ""
    assert "provided by the pytest plugin" in other(Holdfast(), None).get_epilog()


def test_a_group_is_shown_with_what_is_in_it(holdfast: Shell) -> None:
    groups = holdfast.records.groups
    group = groups.create(id="gg-1", name="pair", host=HOST, project_id="p", status="available")
    volume(holdfast, "gv-1", group_id=group.id)
    holdfast.records.group_snapshots.create(id="gs-1", group_id=group.id, status="error")
    (listed,) = holdfast("group", "list", "--status", "available", "-f", "json").rows
    shown = holdfast("group", "show", "gg-1", "-f", "json").rows

    assert (listed["id"], listed["name"], listed["host"]) == ("gg-1", "pair", HOST)
    assert shown["volumes"] == ["gv-1 available"]
    assert shown["group_snapshots"] == ["gs-1 error"]
    assert "group xxxx does not exist" in holdfast("group", "show", "xxxx").errors[0]


@pytest.mark.parametrize(
    ("column", "key"),
    [("ID", "id"), ("Size (GiB)", "size_gib"), ("Last heartbeat", "last_heartbeat")],
)
def test_columns_for_people_are_keys_for_programs(column: str, key: str) -> None:
    assert key_of(column) == key


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_the_keys_of_lists_are_in_snake_case(holdfast: Shell, form: str) -> None:
    volume(holdfast, f"keys-{form}")
    rows = yaml.safe_load(holdfast("volume", "list", "-f", form).out)

    assert set(rows[0]) == {"id", "name", "size_gib", "status", "attached", "host"}
    assert "Size (GiB)" in holdfast("volume", "list").out


LIMITED = [
    "backup list",
    "cast list",
    "flow list",
    "flow resume --failed",
    "group list",
    "message list",
    "snapshot list",
    "volume list",
]


@pytest.mark.parametrize("words", LIMITED)
@pytest.mark.parametrize("limit", ["-1", "9" * 30, "few"])
def test_a_limit_that_is_no_number_of_rows_is_wrong_usage(
    holdfast: Shell, capsys: pytest.CaptureFixture[str], words: str, limit: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        holdfast(*words.split(), f"--limit={limit}")

    assert ended.value.code == 2
    assert f"'{limit}' is no number of rows from " in capsys.readouterr().err
