# SPDX-License-Identifier: Apache-2.0
"""holdfast driver test: its verdict, and its refusals."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from worker.cli import driver
from worker.cli.main import main

ROOT = Path(__file__).parents[3]
VAULT = "tests.conformance.planted.correct.vault:VaultDriver"


def run_command(*arguments: str, place: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command in a fork of this process, which has imported the modules already."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            _in_child(arguments, place, out.fileno(), errors.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, status, out.read(), errors.read())


def _in_child(arguments: Sequence[str], place: Path, out: int, errors: int) -> NoReturn:
    status: int | None = 70
    try:
        os.dup2(out, 1)
        os.dup2(errors, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        driver.subprocess = SimpleNamespace(run=_run)  # type: ignore[attr-defined]
        os.chdir(place)
        status = main(["driver", "test", *arguments])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(70 if status is None else status)


def _run(command: list[str], *, check: bool) -> SimpleNamespace:
    """Run the suite in a fork of this process, which a driver may end."""
    assert command[:3] == [sys.executable, "-m", "pytest"]
    assert not check
    child = os.fork()
    if child == 0:
        status = int(pytest.main(command[3:]))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return SimpleNamespace(returncode=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@pytest.fixture
def vault(tmp_path: Path) -> list[str]:
    hooks = "tests.conformance.planted.hooks"
    return [
        VAULT,
        f"--option=vault_path={tmp_path}/vault",
        f"--device={hooks}:Ticket",
        f"--foreign={hooks}:foreign",
        "--ignore-file=locks/*",
        "--modes=plain",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["noop", "--option", "speed=1"], "the driver has no option speed; it has"),
        (["noop", "--option", "speed"], "'speed' is not KEY=VALUE"),
        (["absent.module.Driver"], "absent.module cannot be imported"),
        (["drivers.volume.noop.Absent"], "has no Absent"),
        (["absent"], "is neither a known driver nor MODULE.CLASS"),
        (["worker.cli.main:Holdfast"], "implements none of VolumeDriver"),
        (["noop", "--kind", "backup"], "is neither a known driver nor MODULE.CLASS"),
        (["noop", "--modes", "plain,fast"], "unknown mode 'fast'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_tested_is_an_error_in_words(arguments, text):
    done = run_command(*arguments)

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert text in done.stderr + done.stdout


def test_unknown_option_of_the_command_is_an_error():
    done = run_command("noop", "--quickly")

    assert done.returncode == 2
    assert "--quickly" in done.stderr


def test_a_driver_whose_data_cannot_be_read_is_not_green(vault):
    without_device = [one for one in vault if not one.startswith("--device")]
    done = run_command(*without_device, "--only=TestCreateVolume")

    assert done.returncode == 1
    assert "not conformant: data was not tested" in done.stdout


def test_required_tests_may_not_be_skipped(vault):
    only = "--only=TestCreateVolume or test_optional_field"
    noop = ["noop", "--modes=plain", "--only=test_optional_field", "--require"]

    assert run_command(*vault, only, "--require").returncode == 0
    refused = run_command(*noop)
    assert refused.returncode == 1
    assert "--require: skipped: NoopDriver does not report multiattach" in refused.stdout


def test_a_driver_in_a_file_is_tested(tmp_path, vault):
    text = (ROOT / "tests/conformance/planted/correct/vault.py").read_text()
    bug = text.replace("file.truncate(volume.size * GIB)", "file.truncate(GIB)")
    (tmp_path / "own.py").write_text(bug)
    script = "import sys; from worker.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["driver", "test", "own.py:VaultDriver", *vault[1:], "--only=TestCreateVolume"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )

    assert done.returncode != 0


STORE = """
import os, sys, time

from oslo_config import cfg

from drivers.interface.backup import BackupDriver


class Store(BackupDriver):
    OPTS = [cfg.StrOpt("speed", help="Of the store.")]

    def backup(self, backup, volume_file, backup_metadata=False):
        pass

    def restore(self, backup, volume_id, volume_file, volume_is_new=False):
        pass

    def delete_backup(self, backup):
        pass


class Leaves(Store):
    def check_for_setup_error(self):
        sys.exit("no licence,\\nbuy one")


class Ends(Store):
    def delete_backup(self, backup):
        os._exit(3)


class Hangs(Store):
    def delete_backup(self, backup):
        time.sleep(1e6)


class Forks(Store):
    def delete_backup(self, backup):
        os.fork()
"""
"""Drivers of a third party, each with another fault."""

IMAGES = """
from drivers.interface.errors import ImageError
from drivers.interface.image import ImageService


class Images(ImageService):
    def check(self):
        raise ImageError("images_path is not set")

    show = download = update = delete = create = lambda *_, **__: None
"""

EXPORT = """
def export(configuration):
    raise ValueError("gate_path is not set")
"""

VOLUMES = """
from drivers.interface.errors import VolumeBackendAPIException
from drivers.volume.noop import NoopDriver


class Volumes(NoopDriver):
    def check_for_setup_error(self):
        raise VolumeBackendAPIException("array_ip is not set")
"""


@pytest.mark.parametrize(
    ("source", "arguments", "cause"),
    [
        (STORE, ["own_e2.py:Leaves"], "SystemExit: no licence, buy one"),
        (IMAGES, ["own_e3.py:Images"], "ImageError: images_path is not set"),
        (EXPORT, ["own_e4.py:export", "--kind=export"], "ValueError: gate_path is not set"),
        (VOLUMES, ["own_e5.py:Volumes"], "VolumeBackendAPIException: array_ip is not set"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_driver_that_cannot_be_set_up_ends_the_run_with_its_cause(
    tmp_path, source, arguments, cause
):
    """Not once for each of hundreds of tests; the causes are in one line."""
    name, _, kind = arguments[0].partition(":")
    (tmp_path / name).write_text(source)
    done = run_command(f"{tmp_path / name}:{kind}", *arguments[1:])

    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if "could not be set up" in line]
    assert len(lines) == 1 and cause in lines[0]
    assert "1 error in" in done.stdout
    assert "not conformant: no test was run" in done.stdout


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("Ends", "not conformant: the driver ended the process of the suite (exit status 3) in"),
        ("Hangs", "a call hangs, see the stack above; slow? see --timeout"),
        ("Forks", "not conformant: a process that the driver forked returned from its call"),
    ],
)
def test_a_call_that_does_not_return_is_named(tmp_path, kind, text):
    (tmp_path / f"own_{kind.lower()}.py").write_text(STORE)
    only = "--only=TestDelete"
    done = run_command(f"{tmp_path}/own_{kind.lower()}.py:{kind}", only, "--timeout=2")

    assert done.returncode == 1
    assert text in done.stdout + done.stderr


def test_wrong_data_is_named_at_once(tmp_path, monkeypatch):
    """Also where pytest explains at length why a MiB differs from another."""
    monkeypatch.setenv("CI", "true")
    (tmp_path / "own_loses.py").write_text(STORE)
    only = "--only=test_what_comes_back_is_what_was_there"
    done = run_command(f"{tmp_path}/own_loses.py:Store", only, "--timeout=5")

    assert done.returncode == 1
    assert 'assert "byte 0: ' in done.stdout


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("json.py", "elsewhere.Driver", "json.py hides the module json of Python or Holdfast"),
        ("drivers.py", "noop", "drivers.py hides the module drivers of Python or Holdfast"),
        ("place/json.py", "place/json.py:Driver", "give json.py another name"),
    ],
)
def test_a_module_with_the_name_of_another_is_refused(tmp_path, name, path, text):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("Driver = object\n")
    done = run_command(path, place=tmp_path)

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert text in done.stderr + done.stdout


def test_no_file_of_the_machine_is_named_to_a_driver():
    """A driver that does not check an image's id overwrote /etc/passwd, run as root."""
    folders = ("data", "exports", "images", "interruption", "optional", "stores")
    suite = Path(__file__).parents[1]
    modules = [
        *suite.glob("*.py"),
        *(file for one in folders for file in suite.glob(f"{one}/*.py")),
    ]
    named = re.compile(r"""["'/](etc|root|home|var|boot|usr)/\w""")

    found = {file.name: named.findall(file.read_text()) for file in modules}

    assert len(modules) > 20
    assert [name for name, hits in found.items() if hits] == []
