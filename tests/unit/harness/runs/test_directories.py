# SPDX-License-Identifier: Apache-2.0
"""A run leaves no temporary directory of a test that has passed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

_TESTS = """\
def test_passes(tmp_path):
    (tmp_path / "passed").touch()

def test_fails(tmp_path):
    (tmp_path / "failed").touch()
    assert False
"""


@pytest.mark.parametrize(("selected", "left"), [("passes", []), ("test", ["failed"])])
def test_directories_of_failed_tests_stay_alone(
    tmp_path: Path, selected: str, left: list[str]
) -> None:
    (tmp_path / "test_two.py").write_text(_TESTS)
    kept = tmp_path / "kept"
    kept.mkdir()
    options = ("-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", "-k", selected)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path / "test_two.py")],
        env=os.environ | {"TMPDIR": str(kept), "PYTEST_ADDOPTS": ""},
        stdout=subprocess.DEVNULL,
        check=False,
    )

    assert [path.name for path in kept.rglob("*ed") if path.is_file()] == left
