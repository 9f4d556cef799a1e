# SPDX-License-Identifier: Apache-2.0
"""Locks: exclusive between threads and processes, shared between readers, gone with a process."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.locks import Locks

WAIT = 10.0


@pytest.fixture
def locks(tmp_path: Path) -> Iterator[Locks]:
    made = Locks(f"file://{tmp_path}", "test")
    made.start()
    yield made
    made.stop()


def in_thread(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_an_exclusive_lock_keeps_others_out(locks: Locks) -> None:
    order = []
    held, release = threading.Event(), threading.Event()

    def first() -> None:
        with locks.held(["v1"]):
            held.set()
            release.wait(WAIT)
            order.append("first")

    def second() -> None:
        held.wait(WAIT)
        with locks.held(["v1"]):
            order.append("second")

    threads = [in_thread(first), in_thread(second)]
    held.wait(WAIT)
    release.set()
    for thread in threads:
        thread.join(WAIT)

    assert order == ["first", "second"]


def test_readers_of_one_process_share(locks: Locks) -> None:
    together = threading.Barrier(3, timeout=WAIT)

    def read() -> None:
        with locks.held([], ["source"]):
            together.wait()

    threads = [in_thread(read), in_thread(read)]
    together.wait()
    for thread in threads:
        thread.join(WAIT)

    assert not together.broken


def test_a_writer_waits_for_the_readers(locks: Locks) -> None:
    order = []
    reading, release, asked = threading.Event(), threading.Event(), threading.Event()

    def read() -> None:
        with locks.held([], ["source"]):
            reading.set()
            release.wait(WAIT)
            order.append("reader")

    def write() -> None:
        reading.wait(WAIT)
        asked.set()
        with locks.held(["source"]):
            order.append("writer")

    threads = [in_thread(read), in_thread(write)]
    asked.wait(WAIT)
    release.set()
    for thread in threads:
        thread.join(WAIT)

    assert order == ["reader", "writer"]


def test_names_in_any_order_do_not_block_each_other(locks: Locks) -> None:
    done = []

    def take(names: list[str]) -> None:
        for _ in range(50):
            with locks.held(names):
                pass
        done.append(names)

    threads = [in_thread(lambda: take(["a", "b"])), in_thread(lambda: take(["b", "a"]))]
    for thread in threads:
        thread.join(WAIT)

    assert len(done) == 2


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path, locks: Locks) -> None:
    script = (
        "import sys, os; from worker.locks import Locks;"
        "l = Locks(sys.argv[1], 'other'); l.start();"
        "assert l.try_hold('slot'); print('held', flush=True); sys.stdin.read()"
    )
    root = str(Path(__file__).resolve().parents[3])
    other = subprocess.Popen(
        [sys.executable, "-c", script, f"file://{tmp_path}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
    )
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    before = locks.try_hold("slot")
    other.kill()
    other.wait()

    assert before is False
    assert locks.try_hold("slot") is True


def test_what_is_left_of_a_lock_can_be_removed(tmp_path: Path, locks: Locks) -> None:
    with locks.held(["v1"]):
        pass
    left = [p.name for p in tmp_path.iterdir() if "v1" in p.name]
    locks.forget("v1")
    locks.forget("v1")

    assert left == ["cinder-v1"]
    assert [p.name for p in tmp_path.iterdir() if "v1" in p.name] == []
