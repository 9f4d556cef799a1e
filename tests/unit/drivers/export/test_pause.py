# SPDX-License-Identifier: Apache-2.0
"""Paused servers continue, also when the process that paused them was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.export import pause, unit
from drivers.export.qemu import QemuNbdServer
from drivers.export.unit import Unit
from drivers.interface.errors import VolumeBackendAPIException
from tests.servers import until

_PAUSING = """\
import os, signal, sys
from drivers.export import pause, unit
from drivers.export.qemu import QemuNbdServer
from drivers.export.unit import Unit
with pause.paused([QemuNbdServer(int(pid)) for pid in sys.argv[2:]], Unit()):
    os.kill(0 if sys.argv[1] == "family" else os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def servers() -> Iterator[list[QemuNbdServer]]:
    """Three processes that do nothing."""
    made = [subprocess.Popen(["sleep", "600"]) for _ in range(3)]
    yield [QemuNbdServer(process.pid) for process in made]
    for process in made:
        process.kill()
        process.wait()


def state(server: QemuNbdServer) -> str:
    text = Path(f"/proc/{server.pid}/stat").read_text()
    return text.rpartition(")")[2].split()[0]


def states(servers: list[QemuNbdServer]) -> set[str]:
    return {state(server) for server in servers}


def test_they_stand_still_meanwhile_and_go_on_after(servers: list[QemuNbdServer]) -> None:
    with pause.paused(servers, Unit()):
        assert states(servers) == {"T"}

    until(lambda: states(servers) == {"S"}, 60, "the servers to go on")


def test_they_go_on_after_a_failure(servers: list[QemuNbdServer]) -> None:
    with pytest.raises(OSError, match="disk"), pause.paused(servers, Unit()):
        raise OSError("disk")

    until(lambda: states(servers) == {"S"}, 60, "the servers to go on")


@pytest.mark.parametrize("who", ["alone", "family"])
def test_they_go_on_when_who_holds_them_is_killed(servers: list[QemuNbdServer], who: str) -> None:
    """Also together with every process of its group; the guard has a session of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _PAUSING, who, *(str(server.pid) for server in servers)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
        start_new_session=True,
        check=False,
    )

    assert done.returncode == -signal.SIGKILL
    until(lambda: states(servers) == {"S"}, 60, "the servers to go on")


def test_nobody_is_held_where_one_does_not_stand_still(
    servers: list[QemuNbdServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause, "_STOP_TIMEOUT", 0.05)
    monkeypatch.setattr(pause, "_is_stopped", lambda pid: pid != servers[1].pid)

    refused = pytest.raises(VolumeBackendAPIException, match="does not stop writing")
    with refused, pause.paused(servers, Unit()):
        raise AssertionError("it was held")
    until(lambda: states(servers) == {"S"}, 60, "the servers to go on")


def test_one_that_has_ended_is_passed_over(servers: list[QemuNbdServer]) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()

    with pause.paused([QemuNbdServer(gone.pid), *servers], Unit()):
        assert states(servers) == {"T"}


def test_what_nobody_holds_any_more_is_let_go(servers: list[QemuNbdServer]) -> None:
    """As a start does it: the guard was killed as well."""
    servers[0].send(signal.SIGSTOP)
    until(lambda: state(servers[0]) == "T", 60, "it to stop")
    pause.resume(servers)

    until(lambda: state(servers[0]) == "S", 60, "it to go on")


def test_without_servers_no_guard_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(unit, "subprocess")

    with pause.paused([], Unit()):
        pass
