# SPDX-License-Identifier: Apache-2.0
"""The listener and its pages: addresses, TLS, tokens, and clients that mean no good."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.tls.certificates import Certificates
from worker.listen_address import Address
from worker.service.monitoring.http_listener import MonitorListener
from worker.service.monitoring.pages import Pages
from worker.service.monitoring.shared_snapshot import SharedSnapshot

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers stop soon."""
    monkeypatch.setattr("worker.service.monitoring.http_listener._Server.expiration_interval", 0.05)


@pytest.fixture
def place() -> SharedSnapshot:
    made = SharedSnapshot()
    ready = {"driver": ""}
    made.write({"at": time.monotonic(), "pid": 7, "slot": "h@b/0", "alive": {}, "ready": ready})
    return made


@pytest.fixture
def serve(place: SharedSnapshot) -> Iterator[Callable[..., Any]]:
    """Listen at an address, in the background; return the server."""
    servers = []

    def begin(bind: Any, token: str = "", certificate: Any = None) -> Any:
        pages = Pages("holdfast-volume", [place], token)
        server = MonitorListener(Address(bind), pages, certificate).prepare()
        servers.append(server)
        threading.Thread(target=server.serve, daemon=True).start()
        return server

    yield begin
    for server in servers:
        server.stop()


def ask(connection: http.client.HTTPConnection, path: str, **headers: str) -> tuple[int, Any]:
    """Return status and content of a page."""
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, json.loads(text) if text.startswith("{") else text


def over_tcp(server: Any) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.bind_addr[1], timeout=10)


def test_each_page_answers(serve: Callable[..., Any], place: SharedSnapshot) -> None:
    server = serve(("127.0.0.1", 0))

    assert ask(over_tcp(server), "/healthz")[1]["alive"] is True
    assert ask(over_tcp(server), "/readyz")[1]["ready"] is True
    status = ask(over_tcp(server), "/status")[1]
    assert (status["service"], status["ready"]) == ("holdfast-volume", True)
    assert status["processes"][0]["pid"] == 7
    assert ask(over_tcp(server), "/nothing")[0] == 404

    place.write({**(place.read() or {}), "ready": {"driver": "no array"}})
    code, found = ask(over_tcp(server), "/readyz")
    assert (code, found["reasons"]) == (503, ["h@b/0: driver: no array"])


def test_only_get_is_answered(serve: Callable[..., Any]) -> None:
    connection = over_tcp(serve(("127.0.0.1", 0)))
    connection.request("POST", "/healthz", body=b"x")

    assert connection.getresponse().status == 405


def test_without_the_token_there_is_a_verdict_only(serve: Callable[..., Any]) -> None:
    server = serve(("127.0.0.1", 0), "secret")

    assert ask(over_tcp(server), "/readyz") == (200, {"ready": True})
    assert ask(over_tcp(server), "/status")[0] == 401
    assert ask(over_tcp(server), "/status", Authorization="Bearer wrong")[0] == 401
    assert ask(over_tcp(server), "/status", Authorization="Basic secret")[0] == 401
    assert ask(over_tcp(server), "/status", Authorization="Bearer secret")[0] == 200


def test_a_socket_is_for_the_group_and_replaces_an_old_one(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "s"
    for _again in range(2):
        serve(str(path))

    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 200")


def test_it_speaks_tls(serve: Callable[..., Any], tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    pair = (str(made.certificate("right")), str(made.key("right")))
    server = serve(("127.0.0.1", 0), "secret", pair)
    context = ssl.create_default_context(cafile=str(made.ca))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", server.bind_addr[1], timeout=10, context=context
    )

    assert ask(connection, "/readyz") == (200, {"ready": True})


def test_clients_that_send_nothing_do_not_keep_others_out(serve: Callable[..., Any]) -> None:
    server = serve(("127.0.0.1", 0))
    idle = [socket.create_connection(("127.0.0.1", server.bind_addr[1])) for _ in range(4)]

    assert ask(over_tcp(server), "/healthz")[0] == 200
    for one in idle:
        one.close()


def test_a_child_process_does_not_keep_the_socket(place: SharedSnapshot, tmp_path: Path) -> None:
    listener = MonitorListener(Address(("127.0.0.1", 0)), Pages("s", [place]))
    listener.start()
    while listener._server is None:
        time.sleep(0.01)
    number = listener._server.socket.fileno()
    if (child := os.fork()) == 0:
        closed = not os.path.exists(f"/proc/self/fd/{number}")
        os._exit(0 if closed else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    listener._server.stop()


def test_a_port_that_is_taken_is_named_and_tried_again(
    place: SharedSnapshot, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Enough(Exception):
        pass

    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise Enough

    monkeypatch.setattr("worker.service.monitoring.http_listener.time.sleep", sleep)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(("127.0.0.1", taken.getsockname()[1]))
        with pytest.raises(Enough):
            MonitorListener(address, Pages("s", [place]))._serve()

    assert len(caplog.records) == 1
    assert f"monitors are not answered at {address}" in caplog.text
    assert "Address already in use" in caplog.text
