# SPDX-License-Identifier: Apache-2.0
"""Servers in units of their own: started through a socket, as systemd does it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.export import launcher, pause, qemu
from drivers.export.nbd import NbdExport
from drivers.export.qemu import QemuNbdServer
from drivers.export.unit import Unit
from drivers.interface.errors import VolumeBackendAPIException
from tests.conformance.places import require_programs
from tests.servers import until

_LAUNCH = "from drivers.export.launcher import main; raise SystemExit(main())"
_HOLDING = """\
import os, signal, sys
from drivers.export import pause
from drivers.export.qemu import QemuNbdServer
from drivers.export.unit import Unit
with pause.paused([QemuNbdServer(int(sys.argv[2]))], Unit(sys.argv[1])):
    print("paused", flush=True)
    sys.stdin.read()
"""


class Socket:
    """Starts the launcher for each connection, as a socket unit with Accept=yes."""

    def __init__(self, path: Path, program: str = _LAUNCH) -> None:
        self.path = str(path)
        self.started: list[subprocess.Popen[bytes]] = []
        self._program = program
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                command = [sys.executable, "-c", self._program]
                environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
                self.started.append(
                    subprocess.Popen(
                        command, stdin=connection, env=environment, start_new_session=True
                    )
                )

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for process in self.started:
            process.wait(60)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def unit(folder: Path) -> Iterator[Socket]:
    made = Socket(folder / "nbd.sock")
    yield made
    made.close()


@pytest.fixture
def sleeper() -> Iterator[QemuNbdServer]:
    """A process that does nothing."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield QemuNbdServer(process.pid)
        process.kill()


def state(server: QemuNbdServer) -> str:
    text = Path(f"/proc/{server.pid}/stat").read_text()
    return text.rpartition(")")[2].split()[0]


def volume(folder: Path) -> str:
    path = folder / "volume"
    with path.open("wb") as file:
        file.truncate(1024**2)
    return str(path)


def test_by_hand_it_says_who_starts_it(capfd: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-c", _LAUNCH], stdin=subprocess.DEVNULL, check=False)

    assert done.returncode == os.EX_USAGE
    assert capfd.readouterr().err.startswith("holdfast-nbd: started by systemd")


class TestStart:
    def test_the_launcher_starts_the_server(self, folder: Path, unit: Socket) -> None:
        require_programs("qemu-nbd")
        export = NbdExport(folder / "exports", unit=Unit(unit.path))
        export.check()
        try:
            export.ensure("v", volume(folder))

            found = qemu.find(folder / "exports/v.pid")
            assert found is not None and len(unit.started) == 1
            session = os.getsid(found.pid)
            assert session not in (os.getsid(0), os.getsid(os.getppid()))
        finally:
            export.remove("v")

    def test_its_error_is_that_of_the_program(self, folder: Path, unit: Socket) -> None:
        require_programs("qemu-nbd")
        export = NbdExport(folder / "exports", unit=Unit(unit.path))
        export.check()

        with pytest.raises(VolumeBackendAPIException, match="does not serve v: .*absent"):
            export.ensure("v", str(folder / "absent"))

    def test_one_that_fails_is_named_and_nothing_is_started_beside_it(self, folder: Path) -> None:
        broken = Socket(folder / "broken.sock", "import sys; sys.exit(3)")
        try:
            answer = Unit(broken.path).start(["--fork"], held=0)
        finally:
            broken.close()

        assert "broken.sock failed" in answer["problem"]

    def test_without_a_socket_the_worker_starts_it(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(launcher, "run", lambda arguments: {"returncode": len(arguments)})

        assert Unit().start(["a"], held=0) == {"returncode": 1}
        assert Unit(str(folder / "absent")).start(["a", "b"], held=0) == {"returncode": 2}

    @pytest.mark.parametrize("listens", [True, False])
    def test_servers_that_end_with_the_unit_are_logged(
        self,
        unit: Socket,
        listens: bool,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("INVOCATION_ID", "1")
        with caplog.at_level(logging.WARNING):
            Unit(unit.path if listens else "/absent").check()

        assert ("enable holdfast-nbd.socket" in caplog.text) is not listens


def test_the_guard_of_a_pause_outlives_the_unit_that_is_killed(
    unit: Socket, sleeper: QemuNbdServer
) -> None:
    command = [sys.executable, "-c", _HOLDING, unit.path, str(sleeper.pid)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"paused\n"
        assert state(sleeper) == "T"
        holder.send_signal(signal.SIGKILL)

    until(lambda: state(sleeper) == "S", 60, "it to go on")
    assert len(unit.started) == 1


def test_a_pause_with_a_unit_ends(unit: Socket, sleeper: QemuNbdServer) -> None:
    with pause.paused([sleeper], Unit(unit.path)):
        assert state(sleeper) == "T"

    until(lambda: state(sleeper) == "S", 60, "it to go on")
