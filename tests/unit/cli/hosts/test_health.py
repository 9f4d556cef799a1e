# SPDX-License-Identifier: Apache-2.0
"""holdfast health: an exit status for probes, and the reasons for people."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from worker.cli.main import main
from worker.listen_address import Address
from worker.service.monitoring.http_listener import MonitorListener
from worker.service.monitoring.pages import Pages
from worker.service.monitoring.shared_snapshot import SharedSnapshot

Serve = Callable[..., None]


@pytest.fixture
def health(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Run the command with the sockets of this directory."""
    config = tmp_path / "holdfast.conf"
    (tmp_path / "token").write_text("secret")
    listen = f"[monitoring]\nlisten = {tmp_path}/{{service}}.sock\n"
    config.write_text(f"{listen}token_file = {tmp_path}/token\n[DEFAULT]\nstate_path={tmp_path}\n")
    yield lambda *options: main(["--config-file", str(config), "health", *options])
    cfg.CONF.reset()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Answer as a service does."""
    monkeypatch.setattr("worker.service.monitoring.http_listener._Server.expiration_interval", 0.05)
    servers: list[Any] = []

    def begin(service: str, **ready: str) -> None:
        place = SharedSnapshot()
        found = {"at": time.monotonic(), "slot": "h@b/0", "alive": {}, "ready": ready}
        place.write(found)
        pages = Pages(service, [place], "secret")
        server = MonitorListener(Address(str(tmp_path / f"{service}.sock")), pages).prepare()
        servers.append(server)
        threading.Thread(target=server.serve, daemon=True).start()

    yield begin
    for server in servers:
        server.stop()


def test_every_service_is_asked(
    health: Callable[..., int], serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve("holdfast-backup", driver="")
    assert health() == 0

    serve("holdfast-volume-lvm", driver="no array")
    assert health() == 1
    shown = capsys.readouterr().out
    assert "holdfast-backup.sock: ready\n" in shown
    assert "holdfast-volume-lvm.sock: not ready\n  h@b/0: driver: no array\n" in shown
    assert health("--alive") == 0
    assert health("holdfast-backup") == 0


def test_a_service_that_does_not_answer_is_not_ready(
    health: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert health() == 1
    assert "no service listens at" in capsys.readouterr().err
    os.mkfifo(tmp_path / "holdfast-backup.sock")

    assert health() == 1
    assert "not ready: it does not answer" in capsys.readouterr().out


def test_without_a_listener_the_option_is_named(
    health: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "holdfast.conf").write_text("")

    assert health() == 1
    assert "[monitoring] listen is not set" in capsys.readouterr().err


def test_programs_get_the_state_of_each_service(
    health: Callable[..., int],
    serve: Serve,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve("holdfast-backup", driver="")
    serve("holdfast-volume", driver="no array")
    os.mkfifo(tmp_path / "holdfast-volume-b.sock")

    assert health("-f", "json") == 1
    fine, silent, refused = json.loads(capsys.readouterr().out)
    assert fine["ready"] and fine["answers"] and fine["reasons"] == []
    assert not refused["ready"] and refused["reasons"] == ["h@b/0: driver: no array"]
    assert not silent["answers"] and "it does not answer" in silent["reasons"][0]
