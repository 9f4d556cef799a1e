# SPDX-License-Identifier: Apache-2.0
"""Programs end with the process that starts them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drivers import bound_programs
from tests.conftest import missing
from tests.servers import until

ROOT = Path(__file__).parents[3]

STARTER = """
import subprocess, sys, time
from drivers.bound_programs import bound
process = subprocess.Popen(bound(sys.argv[1:]))
print(process.pid, flush=True)
time.sleep(600)
"""


def state(pid: int) -> str:
    """Return the state of a process; ``gone`` where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "gone"


def executed_by(pid: int) -> str:
    """Return the name of the program that a process executes."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_a_conversion_ends_with_its_worker(tmp_path: Path) -> None:
    if not bound_programs._is_supported():
        missing("setpriv of util-linux")
    slow = ["sleep", "600"]
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, *slow], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as worker:
        assert worker.stdout is not None
        program = int(worker.stdout.readline())
        until(lambda: executed_by(program) == "sleep", 30, "the program")
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()

        until(lambda: state(program) in ("gone", "Z"), 30, "the end of the program")


def test_a_program_is_not_begun_after_the_death_of_its_worker(tmp_path: Path) -> None:
    if not bound_programs._is_supported():
        missing("setpriv of util-linux")
    late, noted, begun = tmp_path / "setpriv", tmp_path / "pid", tmp_path / "begun"
    late.write_text(
        f"""#!/bin/sh
[ "$1" = --help ] || {{ echo $$ > {noted}; while kill -0 $PPID; do sleep 0.01; done; }} 2> /dev/null
exec {shutil.which("setpriv")} "$@"
"""
    )
    late.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    starter = [sys.executable, "-c", STARTER, "touch", str(begun)]
    with subprocess.Popen(starter, cwd=ROOT, env=env, stdout=subprocess.DEVNULL) as worker:
        until(lambda: noted.exists() and noted.read_text(), 30, "the begin of setpriv")
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()

        until(lambda: state(int(noted.read_text())) in ("gone", "Z"), 30, "the end of setpriv")
    assert not begun.exists()


def test_a_program_that_is_missing_is_left_to_the_caller() -> None:
    assert bound_programs.bound(["no-such-program", "x"]) == ["no-such-program", "x"]


def test_without_setpriv_the_command_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound_programs, "_is_supported", lambda: False)

    assert bound_programs.bound(["sh", "-c", "true"]) == ["sh", "-c", "true"]


CONVERSION = """
from pathlib import Path
from drivers.image import qemu_img
from drivers.interface.pace import Pace
import sys
limits = qemu_img.ConversionLimits(cpu=60, address_space=1)
qemu_img.convert(Path(sys.argv[1]), "qcow2", Path(sys.argv[2]), "raw", limits, Pace())
"""


def test_qemu_img_ends_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    if not bound_programs._is_supported():
        missing("setpriv of util-linux")
    program, noted = tmp_path / "qemu-img", tmp_path / "pid"
    program.write_text(
        f"#!/bin/sh\necho $$ > {noted}.part; mv {noted}.part {noted}\nexec sleep 600\n"
    )
    program.chmod(0o755)
    (tmp_path / "source").touch()
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    files = [str(tmp_path / "source"), str(tmp_path / "target")]
    with subprocess.Popen([sys.executable, "-c", CONVERSION, *files], cwd=ROOT, env=env) as worker:
        until(noted.exists, 30, "the conversion")
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()

        until(lambda: state(int(noted.read_text())) in ("gone", "Z"), 30, "the end of qemu-img")


STARTS = {
    "drivers/bound_programs.py": "asks setpriv for its options",
    "drivers/encryption/luks_header.py": "bound",
    "drivers/image/qemu_img.py": "bound",
    "drivers/backup/stores/nfs_mount.py": "bound, unless by a helper with more rights",
    "drivers/export/launcher.py": "serves a volume beyond the life of the worker",
    "drivers/export/unit.py": "continues a server that is paused, also after a death",
    "worker/adapters/privileged_open.py": "a helper with more rights, done in a moment",
    "worker/service/monitoring/people/page_process.py": "ends as the worker's end of a pipe closes",
    "worker/explanation/host_log.py": "reads systemd's journal, within seconds",
    "worker/cli/driver.py": "a command of an operator",
}
"""The modules that start programs, and whether these end with the worker."""


def test_each_start_of_a_program_was_thought_about() -> None:
    starts = re.compile(
        r"subprocess\.(Popen|run|call|check_)|processutils\.execute|os\.(exec|spawn)"
    )
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("drivers", "flows", "worker")
        for path in (ROOT / folder).rglob("*.py")
        if starts.search(path.read_text())
    }

    assert found == set(STARTS)
