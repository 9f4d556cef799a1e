# SPDX-License-Identifier: Apache-2.0
"""The command line as a person uses it: each command in a process of its own.

The installed program is executed once, and for the demo; the others are forks with the
same arguments, which have the modules already.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from flows.volume import create
from tests.servers.forked import command
from worker.journal.journal import Journal
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = str(Path(sys.executable).with_name("holdfast"))

CONFIG = """\
[DEFAULT]
host = node
enabled_backends = local
transport_url = kombu+memory://
state_path = {folder}
[database]
connection = sqlite:///{folder}/holdfast.sqlite
[local]
volume_driver = local
"""


class Shell:
    """Runs holdfast with a configuration of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "holdfast.conf"
        self.config.write_text(CONFIG.format(folder=folder))

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return command("worker.cli.main", "--config-file", str(self.config), *words)


@pytest.fixture
def holdfast(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def synced(holdfast: Shell) -> Shell:
    assert holdfast("db", "sync").returncode == 0
    return holdfast


def test_a_database_fits_after_its_sync_and_not_before(holdfast: Shell) -> None:
    before = holdfast("db", "check", "-f", "json")
    assert holdfast("db", "sync").returncode == 0
    after = holdfast("db", "check", "-f", "json")

    assert before.returncode == 1
    assert after.returncode == 0
    assert {row["finding"] for row in json.loads(after.stdout)} == {"fits"}


def test_lists_of_an_empty_installation(synced: Shell) -> None:
    for words in (
        ("volume", "list"),
        ("snapshot", "list"),
        ("service", "list"),
        ("flow", "list"),
        ("flow", "list", "--failed"),
        ("cast", "list", "--rejected"),
    ):
        done = synced(*words, "-f", "json")
        assert (done.returncode, json.loads(done.stdout)) == (0, []), words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("volume", "show", "nothing"), "volume nothing does not exist"),
        (("flow", "show", "nothing"), "flow nothing does not exist"),
        (("flow", "graph", "flows.nothing:flow"), "no flow factory"),
        (("cast", "nonsense"), "no method nonsense"),
        (("cast", "create_volume", "--host", "n@b#p"), "needs --size"),
        (("cast", "create_volume", "--size", "1"), "say which backend with --host"),
        (("cast", "extend_volume", "--size", "1"), "needs --volume"),
        (("cast", "create_volume", "--arg", "x"), "NAME=JSON"),
    ],
)
def test_an_error_is_one_line_and_the_status_one(
    synced: Shell, words: tuple[str, ...], told: str
) -> None:
    done = synced(*words)

    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_wrong_option_is_named_with_its_line(holdfast: Shell) -> None:
    text = holdfast.config.read_text()
    line = text.splitlines().index("[local]") + 3
    holdfast.config.write_text(text + "reserved_percentage = lots\n")
    done = holdfast("config", "check", str(holdfast.config))

    assert done.returncode == 1
    assert f"{holdfast.config}:{line}: [local] reserved_percentage" in done.stdout
    assert holdfast("volume", "list").returncode == 1


def test_a_good_configuration_has_nothing_wrong(holdfast: Shell) -> None:
    argv = [PROGRAM, "config", "check", str(holdfast.config)]

    assert subprocess.run(argv, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("form", "edge"),
    [
        ("text", r"\[ \] begin\n  \|\n  \[ \] allocate"),
        ("dot", '"begin" -> "allocate";'),
        ("mermaid", "begin --> allocate"),
    ],
)
def test_a_factory_can_be_drawn(holdfast: Shell, form: str, edge: str) -> None:
    done = holdfast("flow", "graph", "flows.volume.create:flow", "--format", form)

    assert done.returncode == 0
    assert re.search(edge, done.stdout)


def test_an_accepted_cast_is_listed_and_shown(synced: Shell) -> None:
    journal = Journal(f"sqlite:///{synced.folder}/journal.sqlite")
    journal.upgrade()
    operation = Operation(
        create.flow,
        ("volume", "v1"),
        {"volume_id": "v1"},
        method="create_volume",
        request=RequestContext({"request_id": "req-1"}),
    )
    journal.accept("ab" * 16, "node@local/0", operation)
    journal.rejected.add("cd" * 16, "nonsense", "UnknownMethod: unknown method nonsense")
    journal.close()
    (listed,) = json.loads(synced("flow", "list", "-f", "json").stdout)
    shown = json.loads(synced("flow", "show", "v1", "-f", "json").stdout)
    (rejected,) = json.loads(synced("cast", "list", "--rejected", "-f", "json").stdout)

    assert (listed["method"], listed["resource"], listed["state"]) == (
        "create_volume",
        "volume v1",
        "PENDING",
    )
    assert (shown["request"], shown["slot"]) == ("req-1", "node@local/0")
    assert rejected["reason"] == "UnknownMethod: unknown method nonsense"


def test_every_command_of_the_readme_exists() -> None:
    commands = {
        point.name.replace("_", " ") for point in metadata.entry_points(group="holdfast.cli")
    }
    text = (ROOT / "README.rst").read_text()
    shown = re.findall(r"^ +holdfast (\w+(?: \w+)?)|``holdfast (\w+(?: \w+)?)", text, re.MULTILINE)
    used = {first or second for first, second in shown}

    assert used
    assert {u for u in used if u not in commands and u.split()[0] not in commands} == set()


def test_the_demo_ends_well(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "has the same SHA-256" in done.stdout
    assert re.search(r"create_volume +unlucky +error .*allocate FAILED, undo allocate", done.stdout)
    assert "nothing left behind" in done.stdout.splitlines()[-1]
    assert [line for line in done.stdout.splitlines() if len(line) > 120] == []
    assert done.stderr == ""
