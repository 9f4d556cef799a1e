# SPDX-License-Identifier: Apache-2.0
"""The table of Cinder's options equals the list of the installed Cinder."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from worker.conf import cinder

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

TABLE = Path(cinder.__file__).with_name("options.json")
REMEDY = f"python tests/cinder/options.py > {TABLE}"


def test_the_table_is_what_cinder_lists() -> None:
    program = Path(__file__).with_name("options.py")
    run = subprocess.run([sys.executable, program], capture_output=True, check=True)
    listed, kept = json.loads(run.stdout), json.loads(TABLE.read_text())

    assert kept["release"] == listed["release"], REMEDY
    for section in listed["options"]:
        assert kept["options"][section] == listed["options"][section], REMEDY
    assert set(kept["options"]) == set(listed["options"]), REMEDY
    # Libraries have releases of their own: the table may have options that are gone there.
    new = {name for name in listed["libraries"] if name not in kept["libraries"]}
    assert new == set(), REMEDY
