# SPDX-License-Identifier: Apache-2.0
"""Commands in the documents: each exists and takes these words."""

from __future__ import annotations

import configparser
import importlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cliff.commandmanager import CommandManager

from tests.dispatchers import volume_dispatcher
from worker.cli.main import Holdfast
from worker.conf.check import checker

ROOT = Path(__file__).resolve().parents[3]
TEXTS = (
    "README.rst",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("**/*.rst"))),
)

_TYPED = r"^ +(?:runuser -u holdfast -- )?holdfast ([a-z].*)$"
_SHOWN = re.compile(rf"{_TYPED}|``holdfast ([^`]+)``", re.MULTILINE)


def commands() -> list[Any]:
    """Return every command that a document shows, with where it stands."""
    found = []
    for name in TEXTS:
        for match in _SHOWN.finditer((ROOT / name).read_text()):
            words = (match[1] or match[2]).partition(" #")[0].split()
            found.append(pytest.param(" ".join(words), id=f"{name}: {' '.join(words)}"))
    return found


def test_the_documents_show_commands() -> None:
    assert len(commands()) > 10


@pytest.mark.parametrize("line", commands())
def test_command_exists_and_takes_these_words(line: str) -> None:
    words = shlex.split(line)
    if words == ["demo"] or words[0].startswith("--"):
        words = words[:1]
    factory, name, rest = CommandManager("holdfast.cli").find_command(words)
    if not rest and name == line:
        return
    factory(Holdfast(), None).get_parser(f"holdfast {name}").parse_args(rest)


def test_the_configuration_of_the_readme_can_be_started(tmp_path: Path) -> None:
    text = (ROOT / "README.rst").read_text()
    block = re.search(r"::\n\n((?:       +\[DEFAULT\].*?)(?:\n\n(?=   \S)))", text, re.S)
    assert block is not None
    lines = [line.strip() for line in block[1].splitlines()]
    place = tmp_path / "holdfast.conf"
    place.write_text("\n".join(lines) + "\n")
    parser = configparser.ConfigParser()
    parser.read(place)

    assert "enabled_backends" in parser["DEFAULT"]
    assert [str(problem) for problem in checker.check([str(place)])] == []


def test_the_files_of_the_readme_are_installed_on_an_empty_system(tmp_path: Path) -> None:
    """Debian has no directory /etc/sysusers.d."""
    text = (ROOT / "README.rst").read_text()
    lines = re.findall(r"^ +(install .*)$", text, re.MULTILINE)
    for line in lines:
        there = line.replace(" /etc/", f" {tmp_path}/etc/")
        subprocess.run(["/bin/sh", "-ec", there], cwd=ROOT, check=True)

    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    units = {f"etc/systemd/system/{path.name}" for path in (ROOT / "etc/systemd").iterdir()}
    assert files == units | {"etc/sysusers.d/holdfast.conf", "etc/tmpfiles.d/holdfast.conf"}
    assert {"systemd-sysusers holdfast.conf", "systemd-tmpfiles --create holdfast.conf"} <= {
        line.strip() for line in text.splitlines()
    }
    _make_users_and_directories(tmp_path)


def _make_users_and_directories(root: Path) -> None:
    """Run systemd's programs of the README in a root directory, where they are installed."""
    programs = ("systemd-sysusers", "systemd-tmpfiles --create")
    if os.geteuid() != 0 or not all(shutil.which(one.split()[0]) for one in programs):
        return
    for program in programs:
        name, *options = program.split()
        argv = [name, f"--root={root}", *options, "holdfast.conf"]
        subprocess.run(argv, check=True, capture_output=True)
    user = re.search(r"^holdfast:.*:(\d+):(\d+):", (root / "etc/passwd").read_text(), re.MULTILINE)
    assert user is not None
    made = {path: os.stat(root / path) for path in ("etc/holdfast", "var/lib/holdfast")}
    assert {path: (one.st_uid, one.st_gid) for path, one in made.items()} == {
        "etc/holdfast": (0, int(user[2])),
        "var/lib/holdfast": (int(user[1]), int(user[2])),
    }


def test_environments_of_the_readme_exist() -> None:
    shown = set(re.findall(r"tox -e ([a-z0-9]+)", (ROOT / "README.rst").read_text()))
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")

    assert {"demo"} <= shown
    assert {name for name in shown if f"testenv:{name}" not in tox} <= {"py3"}


def test_links_of_the_documents_lead_somewhere() -> None:
    link = re.compile(r"^\.\. _[^:]+: (\S+)$|`[^`<]*\s<([^`>]+)>`_", re.M)
    missing = [
        (name, target)
        for name in TEXTS
        for target in map("".join, link.findall((ROOT / name).read_text()))
        if "://" not in target and not ((ROOT / name).parent / target.split("#")[0]).exists()
    ]

    assert missing == []


def table() -> list[list[str]]:
    """Return the rows of the table from method to status."""
    text = (ROOT / "README.rst").read_text()
    lines = text[text.index("From method to status") :].splitlines()
    bars = [number for number, line in enumerate(lines) if line.startswith("=====")][1:4]
    return [re.split(r"  +", line.strip()) for line in lines[bars[1] + 1 : bars[2]]]


@pytest.mark.parametrize("name", ["volume", "manage", "snapshot", "group"])
def test_each_method_of_the_interfaces_is_in_the_table(name: str) -> None:
    module = importlib.import_module(f"drivers.interface.{name}")
    kinds = [k for k in vars(module).values() if inspect.isclass(k) and k.__module__.endswith(name)]
    required = {method for kind in kinds for method in getattr(kind, "__abstractmethods__", ())}

    assert required - {row[0] for row in table()} == set()


def test_the_table_names_methods_and_flows_that_there_are() -> None:
    methods = volume_dispatcher().methods
    for _method, rpc, flow, _ends in table():
        if not rpc.startswith("("):
            assert rpc.split()[0] in methods, rpc
        if flow != r"\-":
            assert importlib.import_module(f"flows.{flow}").__doc__, flow


def test_entry_points_are_one_noun_and_one_verb() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = project["entry-points"]["holdfast.cli"]

    assert {name for name in names if name.count("_") > 1} == set()
