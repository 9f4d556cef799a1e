# SPDX-License-Identifier: Apache-2.0
"""docs/drivers.rst: its example is a driver, and its table is the contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from drivers.interface.volume import VolumeDriver

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/drivers.rst").read_text()


def test_example_passes_the_conformance_suite(tmp_path):
    block = re.search(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", TEXT)[1]
    (tmp_path / "documented.py").write_text(textwrap.dedent(block))
    (tmp_path / "volumes").mkdir()
    command = [sys.executable, "-m", "worker.cli.main", "driver", "test"]
    command += ["documented.ExampleDriver", "--option", f"example_path={tmp_path}/volumes"]
    path = os.pathsep.join([str(tmp_path), str(ROOT)])

    done = subprocess.run(
        [*command, "--modes=plain", "--points=2"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "ExampleDriver does not announce create_cloned_volume" in done.stdout
    assert os.listdir(tmp_path / "volumes") == []


def test_table_has_every_method_of_the_contract():
    methods = {
        name
        for name in dir(VolumeDriver)
        if not name.startswith("_") and name != "capabilities" and not name.isupper()
    }
    listed = re.findall(r"^``([a-z_]+)``", TEXT.partition("\nTest it\n")[0], re.MULTILINE)

    assert sorted(listed) == sorted(methods)


def test_required_is_what_is_abstract():
    required = re.findall(r"^``([a-z_]+)``.*  required$", TEXT, re.MULTILINE)

    assert set(required) == VolumeDriver.__abstractmethods__
