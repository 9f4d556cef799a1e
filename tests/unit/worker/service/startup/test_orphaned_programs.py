# SPDX-License-Identifier: Apache-2.0
"""Programs of dead workers end, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[5]

PROGRAM = """
import multiprocessing, os, signal, subprocess, sys, time
from worker.service.startup.orphaned_programs import OrphanedPrograms

def work(pipe):
    plain = subprocess.Popen(["sleep", "600"])
    apart = subprocess.Popen(["sleep", "600"], start_new_session=True)
    nested = subprocess.Popen(["sh", "-c", "sleep 600 & wait"])
    pipe.send((plain.pid, apart.pid, nested.pid))
    time.sleep(600)

def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False

context = multiprocessing.get_context("fork")
orphaned = OrphanedPrograms()
orphaned.adopt()
here, there = context.Pipe()
other = context.Process(target=time.sleep, args=(600,))
other.start()
worker = context.Process(target=work, args=(there,))
worker.start()
plain, apart, nested = here.recv()
os.kill(worker.pid, signal.SIGKILL)
worker.join()
while int(open(f"/proc/{apart}/stat").read().rsplit(")", 1)[1].split()[1]) != os.getpid():
    time.sleep(0.01)
killed = orphaned.kill()
print(killed, alive(plain), alive(nested), alive(apart), other.is_alive(), worker.exitcode)
os.kill(apart, signal.SIGKILL)
while alive(apart):
    time.sleep(0.01)
orphaned.reap(); orphaned.reap()
print(os.path.exists(f"/proc/{apart}"))
other.kill()
"""


def test_the_programs_of_a_dead_worker_are_killed_and_reaped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )

    # The plain one, the shell and its own child; not the server with a session of its own.
    assert done.stdout.splitlines() == ["3 False False True True -9", "False"], done.stderr
