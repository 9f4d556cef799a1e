# SPDX-License-Identifier: Apache-2.0
"""holdfast driver test: its verdict, and its refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VAULT = "tests.conformance.planted.correct.vault:VaultDriver"


def tested(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    script = "import sys; from worker.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, "driver", "test", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


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
    done = tested(*arguments)

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert text in done.stderr + done.stdout


def test_unknown_option_of_the_command_is_an_error():
    done = tested("noop", "--quickly")

    assert done.returncode == 2
    assert "--quickly" in done.stderr


def test_a_driver_whose_data_cannot_be_read_is_not_green(vault):
    without_device = [one for one in vault if not one.startswith("--device")]
    done = tested(*without_device, "--only=TestCreateVolume")

    assert done.returncode == 1
    assert "not conformant: data was not tested" in done.stdout


def test_required_tests_may_not_be_skipped(vault):
    only = "--only=TestCreateVolume or test_optional_field"
    noop = ["noop", "--modes=plain", "--only=test_optional_field", "--require"]

    assert tested(*vault, only, "--require").returncode == 0
    refused = tested(*noop)
    assert refused.returncode == 1
    assert "--require: skipped: NoopDriver does not report multiattach" in refused.stdout


def test_a_driver_in_a_file_is_tested(tmp_path, vault):
    text = (ROOT / "tests/conformance/planted/correct/vault.py").read_text()
    bug = text.replace("file.truncate(volume.size * GIB)", "file.truncate(GIB)")
    (tmp_path / "own.py").write_text(bug)
    done = tested("own.py:VaultDriver", *vault[1:], "--only=TestCreateVolume", cwd=tmp_path)

    assert done.returncode != 0
