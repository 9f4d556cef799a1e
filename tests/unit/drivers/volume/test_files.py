# SPDX-License-Identifier: Apache-2.0
"""Files of a directory: never outside of it, whole or not at all, nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.volume.files import Directory, UnsafeName

MIB = 1024**2

ESCAPES = [
    "../x",
    "/etc/passwd",
    "a/b",
    "..",
    ".",
    "",
    ".new-x",
    ".hidden",
    "a\0b",
    "a\nb",
    "x" * 256,
]

CALLS = {
    "location": lambda files, name: files.location(name),
    "exists": lambda files, name: files.exists(name),
    "size": lambda files, name: files.size(name),
    "create": lambda files, name: files.create(name, MIB),
    "copy to": lambda files, name: files.copy("good", name),
    "copy from": lambda files, name: files.copy(name, "other"),
    "grow": lambda files, name: files.grow(name, MIB),
    "remove": lambda files, name: files.remove(name),
}


def everything(place):
    return sorted(os.listdir(place))


@pytest.fixture
def good(files):
    files.create("good", MIB)
    return files


@pytest.mark.parametrize("call", CALLS)
class TestEscapes:
    @pytest.mark.parametrize("name", ESCAPES)
    def test_name_that_is_no_plain_file_name_is_refused(self, good, place, call, name):
        with pytest.raises(UnsafeName):
            CALLS[call](good, name)

        assert everything(place) == ["good"]

    @pytest.mark.parametrize("target", ["outside", "absent", "good"])
    def test_symbolic_link_is_refused_and_not_followed(self, good, place, tmp_path, call, target):
        outside = tmp_path / "outside"
        outside.write_bytes(b"secret")
        aim = {"outside": outside, "absent": tmp_path / "absent", "good": place / "good"}[target]
        (place / "link").symlink_to(aim)

        with pytest.raises(UnsafeName):
            CALLS[call](good, "link")

        assert outside.read_bytes() == b"secret"
        assert not (tmp_path / "absent").exists()
        assert everything(place) == ["good", "link"]

    @pytest.mark.parametrize("kind", ["pipe", "directory", "socket"])
    def test_what_is_no_regular_file_is_refused(self, good, place, call, kind):
        if kind == "pipe":
            os.mkfifo(place / "odd")
        elif kind == "directory":
            (place / "odd").mkdir()
        else:
            with socket.socket(socket.AF_UNIX) as bound:
                here = os.getcwd()
                os.chdir(place)  # a socket's path is short
                bound.bind("odd")
                os.chdir(here)

        with pytest.raises(UnsafeName):
            CALLS[call](good, "odd")

        assert everything(place) == ["good", "odd"]


class TestNames:
    @given(name=st.text(max_size=40))
    def test_whatever_is_accepted_stays_inside(self, name, tmp_path_factory):
        place = tmp_path_factory.mktemp("names")
        files = Directory(place)
        try:
            files.create(name, 1)
        except UnsafeName:
            assert everything(place) == []
            return

        assert everything(place) == [name]
        assert os.path.dirname(files.location(name)) == str(place)

    def test_directory_that_is_replaced_by_a_link_is_still_the_old_one(self, good, place, tmp_path):
        moved = tmp_path / "moved"
        place.rename(moved)
        (tmp_path / "trap").mkdir()
        place.symlink_to(tmp_path / "trap")

        good.create("volume", MIB)

        assert everything(moved) == ["good", "volume"]
        assert everything(tmp_path / "trap") == []


class TestWholeOrNotAtAll:
    @pytest.mark.parametrize("call", ["ftruncate", "fsync", "rename"])
    def test_failure_leaves_nothing(self, files, place, monkeypatch, call):
        def fail(*_args, **_kwargs):
            raise OSError(5, "broken")

        monkeypatch.setattr(f"drivers.volume.files.os.{call}", fail)

        with pytest.raises(OSError, match="broken"):
            files.create("volume", MIB)

        assert everything(place) == []

    @pytest.mark.parametrize("call", ["fsync", "rename"])
    def test_failure_leaves_the_old_file(self, good, place, monkeypatch, call):
        (place / "good").write_bytes(b"old")

        def fail(*_args, **_kwargs):
            raise OSError(5, "broken")

        monkeypatch.setattr(f"drivers.volume.files.os.{call}", fail)

        with pytest.raises(OSError, match="broken"):
            good.create("good", MIB)

        assert (place / "good").read_bytes() == b"old"
        assert everything(place) == ["good"]

    @pytest.mark.parametrize("call", ["create", "copy", "grow", "remove"])
    def test_file_and_directory_reach_the_disk_before_it_returns(self, good, monkeypatch, call):
        done = []

        def note(name):
            really = getattr(os, name)

            def noted(first, *args, **kwargs):
                is_directory = isinstance(first, int) and os.path.isdir(f"/proc/self/fd/{first}")
                done.append((name, "directory" if is_directory else "file"))
                return really(first, *args, **kwargs)

            monkeypatch.setattr(f"drivers.volume.files.os.{name}", noted)

        for name in ("ftruncate", "fsync", "rename", "unlink"):
            note(name)
        if call == "create":
            good.create("new", MIB)
        elif call == "copy":
            good.copy("good", "new", 2 * MIB)
        elif call == "grow":
            good.grow("good", 2 * MIB)
        else:
            good.remove("good")

        new = [
            ("ftruncate", "file"),
            ("fsync", "file"),
            ("rename", "file"),
            ("fsync", "directory"),
        ]
        assert [step for step in done if step in new or step[0] == "unlink"][-4:] == {
            "create": new,
            "copy": new,
            "grow": [("ftruncate", "file"), ("fsync", "file")],
            "remove": [("unlink", "file"), ("fsync", "directory")],
        }[call]


MAKER = """
import os, signal, sys
from pathlib import Path
from drivers.volume.files import Directory
def fill(fd):
    os.pwrite(fd, b'half', 0)
    print('begun', flush=True)
    sys.stdin.read()
Directory(Path(sys.argv[1]))._make('volume', fill)
"""


@pytest.fixture
def maker(place, files):
    """Another process that has begun to make a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"begun\n"
    yield process
    process.kill()
    process.communicate()


class TestLeftovers:
    def test_file_of_a_killed_process_is_swept(self, files, place, maker):
        assert len(everything(place)) == 1
        maker.send_signal(signal.SIGKILL)
        maker.wait()

        assert len(files.sweep()) == 1
        assert everything(place) == []

    def test_file_of_a_running_process_is_left_to_it(self, files, place, maker):
        assert files.sweep() == []

        maker.communicate(b"")
        assert everything(place) == ["volume"]
        assert (place / "volume").read_bytes() == b"half"

    def test_file_that_was_just_swept_is_made_again(self, files, place, monkeypatch):
        import fcntl

        really, swept = fcntl.flock, []

        def sweep_first(fd, how):
            if not swept:
                swept.extend(everything(place))
                os.unlink(place / swept[0])
            return really(fd, how)

        monkeypatch.setattr("drivers.volume.files.fcntl.flock", sweep_first)

        files.create("volume", MIB)

        assert swept
        assert everything(place) == ["volume"]

    def test_file_that_is_finished_at_that_moment_is_left(self, files, place, monkeypatch):
        (place / ".new-1").write_bytes(b"data")

        def finish(_fd, _how):
            (place / ".new-1").rename(place / "volume")
            (place / ".new-1").write_bytes(b"of another call")

        monkeypatch.setattr("drivers.volume.files.fcntl.flock", finish)

        assert files.sweep() == []
        assert everything(place) == [".new-1", "volume"]

    def test_volumes_and_strange_files_are_left(self, good, place):
        (place / "notes.txt").write_text("mine")
        (place / ".new-link").symlink_to("notes.txt")

        assert good.sweep() == []
        assert everything(place) == [".new-link", "good", "notes.txt"]

    def test_probe_leaves_nothing(self, files, place):
        assert files.probe() in (True, False)
        assert everything(place) == []


def _churn(place, mine, rounds, failures):
    try:
        files = Directory(place)
        for _ in range(rounds):
            files.create("shared", MIB)
            files.create(mine, MIB)
            files.copy(mine, f"{mine}@copy", 2 * MIB)
            assert files.size(f"{mine}@copy") == 2 * MIB
            files.sweep()
            files.probe()
            files.remove(f"{mine}@copy")
            files.remove(mine)
            files.remove("shared")
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent asserts on it
        failures.put(f"{type(error).__name__}: {error}")


class TestTogether:
    def test_two_processes_do_not_disturb_each_other(self, place):
        spawn = multiprocessing.get_context("spawn")
        failures = spawn.SimpleQueue()
        pair = [
            spawn.Process(target=_churn, args=(place, name, 60, failures)) for name in ("a", "b")
        ]
        for process in pair:
            process.start()
        for process in pair:
            process.join(60)

        assert failures.empty() or failures.get() is None
        assert [process.exitcode for process in pair] == [0, 0]
        assert everything(place) == []

    def test_a_copy_under_way_does_not_hold_up_others(self, good, place, monkeypatch):
        begun, go_on = threading.Event(), threading.Event()

        def wait(_source, _target):
            begun.set()
            assert go_on.wait(30)

        monkeypatch.setattr("drivers.volume.sparse_copy.copy", wait)
        slow = threading.Thread(target=good.copy, args=("good", "copy"))
        slow.start()
        assert begun.wait(30)

        good.create("other", MIB)
        good.grow("good", 2 * MIB)
        good.remove("other")

        assert slow.is_alive()
        go_on.set()
        slow.join(30)
        assert everything(place) == ["copy", "good"]
