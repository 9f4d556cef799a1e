# SPDX-License-Identifier: Apache-2.0
"""One service of a host on a machine; the processes of a service share its socket."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import uuid

import pytest

from flows.errors import ProcessStopping
from worker.service import fence
from worker.service.fence import HostFence

_OTHER = """\
import sys, threading
from worker.service.fence import HostFence
fence = HostFence()
fence.hold(sys.argv[1], "/elsewhere", threading.Event())
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def name() -> str:
    return f"cinder-volume {uuid.uuid4()}"


def test_a_process_of_the_same_service_shares_it(name: str) -> None:
    shared = HostFence()
    for _ in range(2):
        shared.hold(name, "/state", threading.Event())


def test_a_service_holds_each_of_its_names(name: str) -> None:
    row = f"{name} row"
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER, row], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        stopping = threading.Event()
        stopping.set()
        second = HostFence()
        second.hold(f"{name} of a database written in another way", "/state", stopping)
        with pytest.raises(ProcessStopping):
            second.hold(row, "/state", stopping)
        other.kill()

    second.hold(row, "/state", threading.Event())
    second.hold(row, "/state", stopping)


def test_another_process_is_waited_for_and_named(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "PAUSE", 0.01)
    command = [sys.executable, "-c", _OTHER, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        stopping = threading.Event()
        stopping.set()
        with caplog.at_level(logging.WARNING), pytest.raises(ProcessStopping):
            HostFence().hold(name, "/state", stopping)
        assert f"process {other.pid} (" in caplog.text
        assert "state path /state" in caplog.text
        HostFence().hold(f"{name} of another database", "/state", threading.Event())
        waiting = threading.Thread(
            target=HostFence().hold, args=(name, "/state", threading.Event())
        )
        waiting.start()
        other.kill()

    waiting.join(30)
    assert not waiting.is_alive()
