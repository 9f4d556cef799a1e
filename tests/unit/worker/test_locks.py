# SPDX-License-Identifier: Apache-2.0
"""Locks: held once by a process for all its threads, exclusive of others, gone with it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tooz import coordination

from worker.locks import Locks, LocksUnavailable, LocksUnusable

WAIT = 10.0

OTHER = """
import sys
from worker.locks import Locks

locks = Locks(sys.argv[1], "other")
locks.start()
for line in sys.stdin:
    command, *names = line.split()
    if command == "try":
        print(locks.try_hold(names[0]), flush=True)
    elif command == "often":
        for _ in range(50):
            with locks.held(names):
                pass
        print("done", flush=True)
    else:
        print("taking", flush=True)
        with locks.held(names):
            print("held", flush=True)
            sys.stdin.readline()
        print("released", flush=True)
"""


class Other:
    """Another process that uses the same locks."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, f"file://{folder}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=str(Path(__file__).resolve().parents[3]),
            text=True,
        )

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, text: str) -> str:
        self.say(text)
        return self.answer()


@pytest.fixture
def locks(tmp_path: Path) -> Iterator[Locks]:
    made = Locks(f"file://{tmp_path}", "test")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    made = Other(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_threads_of_one_process_share_a_hold(locks: Locks) -> None:
    together = threading.Barrier(3, timeout=WAIT)

    def hold() -> None:
        with locks.held(["source"]):
            together.wait()

    threads = [in_thread(hold), in_thread(hold)]
    together.wait()
    for thread in threads:
        thread.join(WAIT)

    assert not together.broken
    assert locks._holds == {}


def test_another_process_waits_for_the_last_thread(locks: Locks, other: Other) -> None:
    first, second = locks.held(["source"]), locks.held(["source"])
    first.__enter__()
    second.__enter__()
    assert other.ask("hold source") == "taking"
    first.__exit__(None, None, None)
    answers: list[str] = []
    waiting = in_thread(lambda: answers.append(other.answer()))
    waiting.join(0.5)
    assert answers == []
    second.__exit__(None, None, None)
    waiting.join(WAIT)

    assert answers == ["held"]


def test_a_lock_is_handed_over_between_processes(locks: Locks, other: Other) -> None:
    for _ in range(3):
        assert (other.ask("hold v1 v2"), other.answer()) == ("taking", "held")
        order: list[str] = []

        def hold(order: list[str] = order) -> None:
            with locks.held(["v2", "v1"]):
                order.append("held here")

        waiting = in_thread(hold)
        waiting.join(0.2)
        assert order == []
        assert other.ask("release") == "released"
        waiting.join(WAIT)
        assert order == ["held here"]


def test_names_in_any_order_do_not_block_processes(locks: Locks, other: Other) -> None:
    other.say("often b a")
    for _ in range(50):
        with locks.held(["a", "b"]):
            pass

    assert other.answer() == "done"


def test_an_error_of_one_thread_leaves_the_next_one_to_try(
    locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(locks._coordinator, "get_lock", refuse)
        with pytest.raises(OSError, match="No space"), locks.held(["v1"]):
            raise AssertionError("it is not held")
    with locks.held(["v1"]):
        pass

    assert locks._holds == {}


def test_a_lock_of_a_killed_process_is_free(locks: Locks, other: Other) -> None:
    assert other.ask("try slot") == "True"
    before = locks.try_hold("slot")
    other.process.kill()
    other.process.wait()

    assert before is False
    assert locks.try_hold("slot") is True


def test_a_lock_that_is_released_leaves_no_file(tmp_path: Path, locks: Locks) -> None:
    with locks.held(["v1"]), locks.held(["v1"]):
        pass

    assert [p.name for p in tmp_path.iterdir() if "v1" in p.name] == []


def test_a_waiter_on_a_removed_file_excludes_the_next_process(
    tmp_path: Path, locks: Locks, other: Other
) -> None:
    file = tmp_path / "cinder-v1"
    with locks.held(["v1"]):
        assert other.ask("hold v1") == "taking"
        wait_for(lambda: opens(other.process.pid, file))
    assert other.answer() == "held"

    assert file.exists(), "the waiter holds the lock of a file that others do not find"
    assert locks.try_hold("v1") is False


def test_a_name_of_another_file_is_refused(tmp_path: Path, locks: Locks) -> None:
    (tmp_path / "cinder-x").mkdir(parents=True)
    (tmp_path / "other").write_text("data")
    with pytest.raises(ValueError, match="no name of a lock"), locks.held(["x/../other"]):
        pass

    assert (tmp_path / "other").exists()


def opens(pid: int, file: Path) -> bool:
    folder = Path(f"/proc/{pid}/fd")
    return any(os.path.realpath(link) == str(file) for link in folder.iterdir())


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_directory_that_cannot_be_made_is_named() -> None:
    with pytest.raises(LocksUnusable, match="/proc/no/such cannot hold locks"):
        Locks("file:///proc/no/such", "m").start()


def test_a_server_that_does_not_answer_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: bool) -> None:
        raise coordination.ToozConnectionError("no route to host")

    locks = Locks("file:///proc", "m")
    monkeypatch.setattr(locks, "_directory", None)  # as of a server
    monkeypatch.setattr(locks._coordinator, "start", refuse)
    with pytest.raises(LocksUnavailable, match="no route to host"):
        locks.start()
