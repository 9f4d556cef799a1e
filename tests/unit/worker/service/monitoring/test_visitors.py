# SPDX-License-Identifier: Apache-2.0
"""Requests of people at the listener: token, names of hosts, streams, and their limits."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from tests.hostile.tls.certificates import Certificates
from tests.servers import until
from worker.listen_address import Address
from worker.service.monitoring.http_listener import MonitorListener
from worker.service.monitoring.pages import Pages
from worker.service.monitoring.people import page_process, visitors
from worker.service.monitoring.people.page_process import PageProcess, PageUnavailable
from worker.service.monitoring.people.visitors import Visitors
from worker.service.monitoring.shared_snapshot import SharedSnapshot


class Scripted:
    """Makes pages in place of a process; ``held`` makes it wait."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.held.set()
        self.failure = ""
        self.content = "<p>one</p>"
        self.asked: list[dict[str, Any]] = []

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        assert self.held.wait(30)
        if self.failure:
            raise PageUnavailable(self.failure)
        return {"status": "200 OK", "kind": "text/html", "content": self.content, "headers": []}

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers stop soon, and streams look often."""
    monkeypatch.setattr("worker.service.monitoring.http_listener._Server.expiration_interval", 0.05)
    monkeypatch.setattr("worker.service.monitoring.http_listener._ROUND", 0.05)
    monkeypatch.setattr(visitors, "PAUSE", 0.05)


@pytest.fixture
def process() -> Scripted:
    return Scripted()


Serve = Callable[..., Any]


@pytest.fixture
def serve(process: Scripted) -> Iterator[Serve]:
    """Listen, in the background; return the server."""
    servers = []

    def begin(token: str = "", certificate: tuple[str, str] | None = None) -> Any:
        place = SharedSnapshot()
        place.write({"at": time.monotonic(), "slot": "h@b/0", "alive": {}, "ready": {}})
        pages = Pages("holdfast-volume", [place], token)
        people = Visitors(pages, process)  # type: ignore[arg-type]
        address = Address(("127.0.0.1", 0))
        server = MonitorListener(address, pages, certificate, people).prepare()
        servers.append(server)
        threading.Thread(target=server.serve, daemon=True).start()
        return server

    yield begin
    process.held.set()
    for server in servers:
        server.stop()


def connection_to(server: Any) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.bind_addr[1], timeout=30)


def ask(server: Any, path: str = "/", **headers: str) -> tuple[http.client.HTTPResponse, str]:
    """Return the answer to a request, and its content."""
    connection = connection_to(server)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer, content


def stream(server: Any) -> http.client.HTTPResponse:
    """Begin to follow a page."""
    connection = connection_to(server)
    connection.request("GET", "/events?page=%2Foperations%3Fstate%3Dall")
    return connection.getresponse()


def event(answer: http.client.HTTPResponse) -> list[str]:
    """Return the lines of the next event."""
    return list(iter(lambda: answer.readline().decode().rstrip("\n"), ""))


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'me:{password}'.encode()).decode()}"


def test_a_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(
    serve: Serve, process: Scripted
) -> None:
    answer, content = ask(serve(), "/operations?state=all")

    assert (answer.status, content) == (200, "<p>one</p>")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    asked = process.asked[0]
    assert (asked["path"], asked["query"], asked["part"]) == ("/operations", "state=all", False)
    assert asked["state"]["processes"][0]["slot"] == "h@b/0"


def test_a_browser_gives_the_token_as_a_password(serve: Serve, process: Scripted) -> None:
    server = serve("secret")
    refused, _content = ask(server)

    assert refused.status == 401
    assert any(one.startswith("Basic") for one in refused.headers.get_all("WWW-Authenticate"))
    assert ask(server, Authorization=basic("wrong"))[0].status == 401
    assert ask(server, Authorization="Basic ###")[0].status == 401
    assert ask(server, "/events")[0].status == 401
    assert process.asked == []
    assert ask(server, Authorization=basic("secret"))[0].status == 200
    assert ask(server, Authorization="Bearer secret")[0].status == 200
    assert ask(server, "/status", Authorization=basic("secret"))[0].status == 200


@pytest.mark.parametrize("name", ["localhost:9720", "127.0.0.1", "[::1]:9720"])
def test_names_of_this_host_are_answered(serve: Serve, name: str) -> None:
    assert ask(serve(), Host=name)[0].status == 200


def test_the_name_of_another_site_is_refused(serve: Serve, process: Scripted) -> None:
    answer, content = ask(serve(), Host="evil.example:9720")

    assert answer.status == 403
    assert "set token_file" in content
    assert process.asked == []


def test_a_token_makes_any_name_safe(serve: Serve) -> None:
    server = serve("secret")

    assert ask(server, Host="node1.example", Authorization=basic("secret"))[0].status == 200


def test_head_and_other_methods(serve: Serve) -> None:
    server = serve()
    for method, status in (("HEAD", 200), ("POST", 405), ("DELETE", 405)):
        connection = connection_to(server)
        connection.request(method, "/backups")
        answer = connection.getresponse()

        assert (answer.status, method == "HEAD" or answer.headers["Allow"] == "GET, HEAD") == (
            status,
            True,
        )
        connection.close()


def test_no_page_is_answered_with_the_reason(serve: Serve, process: Scripted) -> None:
    process.failure = "the journal has not answered"
    answer, content = ask(serve())

    assert (answer.status, content) == (503, "the journal has not answered\n")
    assert answer.headers["Retry-After"]


def test_probes_are_answered_while_pages_wait(serve: Serve, process: Scripted) -> None:
    server = serve()
    process.held.clear()
    waiting = [connection_to(server) for _ in range(visitors.VIEWS)]
    for one in waiting:
        one.request("GET", "/")
    until(lambda: len(process.asked) == visitors.VIEWS, 30, "the pages to wait")

    assert ask(server, "/healthz")[0].status == 200
    answer, content = ask(server)
    assert (answer.status, content) == (503, "too many pages are looked at; try again\n")
    process.held.set()
    assert {one.getresponse().status for one in waiting} == {200}
    for one in waiting:
        one.close()


def test_a_stream_has_an_event_for_each_change(serve: Serve, process: Scripted) -> None:
    followed = stream(serve())

    assert followed.headers["Content-Type"] == "text/event-stream"
    assert event(followed) == ["retry: 3000", "event: page", "data: <p>one</p>"]
    process.content = "<p>two\nlines</p>"
    assert event(followed)[2:] == ["data: <p>two", "data: lines</p>"]
    process.failure = "it is away"
    assert event(followed)[1:] == ["event: away", "data: it is away"]
    followed.close()
    assert process.asked[0]["part"] is True
    assert process.asked[0]["query"] == "state=all"


def test_streams_have_a_limit_and_leave_room_for_probes(serve: Serve) -> None:
    server = serve()
    followed = [stream(server) for _ in range(visitors.STREAMS)]
    for one in followed:
        assert event(one)[1] == "event: page"

    further = stream(server)
    assert event(further)[:2] == ["retry: 15000", "event: full"]
    assert further.read() == b"", "it ends, and the browser comes again"
    assert ask(server, "/healthz")[0].status == 200
    assert ask(server, "/")[0].status == 200
    followed.pop().close()
    until(lambda: event(stream(server))[1] == "event: page", 30, "a place of a client that left")
    for one in followed:
        one.close()


def test_streams_end_when_the_service_stops(serve: Serve) -> None:
    server = serve()
    followed = stream(server)
    event(followed)
    server.stop()

    assert followed.read() == b""


def test_a_stream_over_tls_ends_with_the_service(
    serve: Serve, process: Scripted, tmp_path: Path
) -> None:
    made = Certificates(tmp_path)
    server = serve("secret", (str(made.certificate("right")), str(made.key("right"))))
    context = ssl.create_default_context(cafile=str(made.ca))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", server.bind_addr[1], timeout=30, context=context
    )
    connection.request("GET", "/events?page=/", headers={"Authorization": basic("secret")})
    followed = connection.getresponse()

    assert event(followed)[1] == "event: page"
    process.content = "<p>two</p>"
    assert event(followed)[2:] == ["data: <p>two</p>"], "a quiet client is no closed one"
    server.stop()
    assert followed.read() == b""
    connection.close()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[PageProcess]:
    """A process over a configuration without a journal or a database."""
    file = tmp_path / "holdfast.conf"
    file.write_text(f"[DEFAULT]\nstate_path = {tmp_path}\ntransport_url = kombu+memory://\n")
    conf = cfg.ConfigOpts()
    conf([f"--config-file={file}"], project="holdfast")
    made = PageProcess(conf)
    yield made
    made.close()


STATE = {"service": "s", "version": "1", "alive": True, "ready": True, "reasons": []}
REQUEST = {"path": "/", "query": "", "part": False, "state": {**STATE, "processes": []}}


def test_a_process_makes_pages_and_is_started_again(real: PageProcess) -> None:
    found = real.ask(REQUEST)
    assert found["status"] == "200 OK"
    assert "there is no journal" in found["content"], "a gap is named, and no file is made"
    assert real._running is not None
    first = real._running[0]
    assert os.getsid(first.pid) == first.pid, "signals to the service's group do not reach it"

    first.kill()
    first.wait()
    assert real.ask({**REQUEST, "path": "/nothing"})["status"] == "404 Not Found"
    second = real._running[0]
    assert second.pid != first.pid
    real.close()
    assert second.poll() is not None, "it ends with the listener"


def test_a_process_that_does_not_answer_is_killed(
    real: PageProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_process, "DEADLINE", 0.1)
    monkeypatch.setattr(page_process, "START", 0)

    with pytest.raises(PageUnavailable, match="has not answered"):
        real.ask(REQUEST)
    assert real._running is None


def test_a_process_that_cannot_start_is_named(
    real: PageProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_process, "PROGRAM", "worker.no_such_program")

    with pytest.raises(PageUnavailable, match="has ended; see the log"):
        real.ask(REQUEST)
