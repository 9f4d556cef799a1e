# SPDX-License-Identifier: Apache-2.0
"""The functional tests' view of a service: ready, alive, stopped, killed."""

from __future__ import annotations

import pytest

from tests.functional.service import Service
from tests.servers import alive

STAND_IN = """
import os, signal, socket, sys

def stop(number, frame):
    print("drained", flush=True)
    os.kill(child, signal.SIGKILL)
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGHUP, lambda *_: print("reloaded", flush=True))
if "--fail" in sys.argv:
    sys.exit("no configuration")
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pause()
print("started", *sys.argv[1:], flush=True)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    signal.pause()
"""


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path / "s", bus="kombu+memory://", database="sqlite://", module="stand_in")
    (made.directory / "stand_in.py").write_text(STAND_IN)
    yield made
    made.close()


def test_configuration_holds_what_was_asked_for(tmp_path):
    service = Service(
        tmp_path / "s",
        bus="rabbit://h/v",
        database="sqlite://",
        backends={"a": {"volume_driver": "noop"}, "b": {"volume_driver": "local"}},
        sections={"DEFAULT": {"host": "other"}, "journal": {"max_resumes": 1}},
    )

    text = service.config.read_text()
    assert "enabled_backends = a,b\n" in text
    assert "host = other\n" in text
    assert "[journal]\nmax_resumes = 1\n" in text
    assert "[b]\nvolume_driver = local\n" in text


def test_start_returns_when_the_service_is_ready(service):
    service.start("--backend", "b1")

    assert f"started --config-file {service.config} --backend b1" in service.text()
    assert len(service.children()) == 1


def test_reload_and_stop_are_orderly(service):
    service.start()
    service.reload()
    service.wait_for_log("^reloaded$")
    family = service.process.family()
    status = service.stop()

    assert status == 0
    assert alive(family) == []
    assert service.text().endswith("drained\n")


def test_kill_leaves_nobody(service):
    service.start()
    family = service.process.family()

    service.kill()

    assert len(family) == 2
    assert alive(family) == []
    assert "drained" not in service.text()


def test_service_that_ends_before_it_is_ready_is_an_error_with_its_words(service):
    with pytest.raises(RuntimeError, match="(?s)ended with 1 before READY=1.*no configuration"):
        service.start("--fail")


def test_log_is_looked_at_from_a_position(service):
    service.start()
    position = service.position()

    with pytest.raises(TimeoutError):
        service.wait_for_log("started", timeout=0.1, after=position)
