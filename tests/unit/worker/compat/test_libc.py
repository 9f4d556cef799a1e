# SPDX-License-Identifier: Apache-2.0
"""The timer that kills the process, and the parent of orphans."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

BEGIN = """
import os, signal, sys, threading, time
from worker.compat import libc

def block_all():
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))

timer = libc.KillTimer()
"""


def start(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + program], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_stopped_process_with_all_signals_blocked_dies_on_the_dot() -> None:
    process = start(
        """
block_all()
for _ in range(4):
    threading.Thread(target=lambda: (block_all(), time.sleep(60)), daemon=True).start()
deadline = libc.now() + 1.0
timer.arm(deadline)
print(deadline, flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
print("alive", flush=True)
"""
    )
    deadline = float(first_line(process))

    assert process.wait(30) == -signal.SIGKILL

    late = time.clock_gettime(time.CLOCK_BOOTTIME) - deadline
    assert late >= 0
    assert first_line(process) == ""  # it never continued


def test_a_timer_that_is_set_again_or_cancelled_does_not_kill() -> None:
    process = start(
        """
first = libc.now() + 0.3
timer.arm(first)
timer.arm(first + 600)
while libc.now() < first + 0.2:
    time.sleep(0.01)
print("set again", flush=True)
second = libc.now() + 0.3
timer.arm(second)
timer.disarm()
while libc.now() < second + 0.2:
    time.sleep(0.01)
print("cancelled", flush=True)
"""
    )

    assert process.wait(30) == 0
    assert [first_line(process), first_line(process)] == ["set again", "cancelled"]


def test_a_deadline_that_has_passed_kills_at_once() -> None:
    process = start("timer.arm(libc.now() - 5)\nsignal.pause()\n")

    assert process.wait(30) == -signal.SIGKILL


def test_a_child_of_a_fork_does_not_inherit_it() -> None:
    process = start(
        """
deadline = libc.now() + 0.3
timer.arm(deadline)
if os.fork():
    signal.pause()
while libc.now() < deadline + 0.3:
    time.sleep(0.01)
print("the child lives", flush=True)
"""
    )

    assert process.wait(30) == -signal.SIGKILL
    assert first_line(process) == "the child lives"


@pytest.mark.parametrize("reaper", [True, False])
def test_orphans_become_children_of_the_reaper(reaper: bool) -> None:
    process = start(
        f"""
if {reaper}:
    libc.adopt_orphans()
reading, writing = os.pipe()
if not os.fork():
    middle = os.getpid()
    if not os.fork():
        while os.getppid() == middle:
            time.sleep(0.01)
        os.write(writing, str(os.getppid()).encode())
    os._exit(0)
os.wait()
print(int(os.read(reading, 20)) == os.getpid(), flush=True)
"""
    )

    assert first_line(process) == str(reaper)
    assert process.wait(30) == 0
