# SPDX-License-Identifier: Apache-2.0
"""Cinder's own driver in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


class Peer:
    """Cinder's driver in a process of its own.

    :param directory: for its database and its log.
    :param python: of an environment that has Cinder.
    """

    def __init__(self, directory: Path, python: str = sys.executable) -> None:
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("peer.py")), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(directory / "cinder.log", "wb"),  # noqa: SIM115 - the process has it
            text=True,
        )
        self._log = directory / "cinder.log"

    def ask(self, **what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._log.read_text()[-4000:]
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    # Not getrusage: a process inherits those figures from its parent.
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
