# SPDX-License-Identifier: Apache-2.0
"""Run scripts in a process of their own, because loaded modules stay loaded."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run(start: str, script: str) -> None:
    """Run a script after its imports; fail with its errors where it fails.

    :param script: may be indented.
    """
    done = subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
