# SPDX-License-Identifier: Apache-2.0
"""File systems of the conformance suite are gone at the end, also of a run that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.places import ext4
from tests.servers import until

_RUN = """\
import sys
from pathlib import Path
from tests.conformance.places import ext4
with ext4(Path(sys.argv[1])) as place:
    print(place, flush=True)
    sys.stdin.read()
"""


def is_mounted(place: Path) -> bool:
    return f" {place} " in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize("ending", [signal.SIGKILL, None])
def test_nothing_is_left(tmp_path: Path, ending: signal.Signals | None) -> None:
    with ext4(tmp_path):  # skips where there can be none
        pass
    (tmp_path / "mount").rmdir()
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None and run.stdin is not None
        place = Path(run.stdout.readline().decode().strip())
        assert is_mounted(place)
        if ending is not None:
            os.kill(run.pid, ending)

    until(lambda: not is_mounted(place), 60, "the end of the mount")
    until(lambda: not (tmp_path / "image").exists(), 60, "the end of its file")
