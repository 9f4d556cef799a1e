# SPDX-License-Identifier: Apache-2.0
"""Heads of answers of a store that drip, and logins at a Keystone that does not end its answer."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers import http_answers
from drivers.backup.s3 import S3Driver
from drivers.backup.stores.object_store import ObjectStore, StoreError
from drivers.backup.swift import SwiftDriver
from tests.backups import MIB, settings
from tests.hostile import memory
from tests.scripted.glance_server import Answer, Request, serving
from tests.servers import patient
from tests.servers.keystone import TOKEN, Keystone

pytest.importorskip("boto3")
pytest.importorskip("swiftclient")
pytest.importorskip("keystoneauth1")

JSON = {"Content-Type": "application/json"}


def s3_of(place: str, root: Path, timeout: float = 20.0) -> ObjectStore:
    options: dict[str, Any] = {
        "backup_s3_endpoint_url": f"http://{place}",
        "backup_s3_store_access_key": "a",
        "backup_s3_store_secret_key": "b",
        "backup_s3_retry_max_attempts": 0,
        "backup_s3_timeout": timeout,
    }
    return S3Driver(settings(root, S3Driver, **options)).make_store()


def swift_of(keystone: str, root: Path, version: str, **options: Any) -> ObjectStore:
    given = {
        "backup_swift_auth": "single_user",
        "backup_swift_auth_url": keystone,
        "backup_swift_auth_version": version,
        "backup_swift_user": "holdfast",
        "backup_swift_key": "secret",
        "backup_swift_tenant": "service",
        "backup_swift_retry_attempts": 1,
        "backup_swift_retry_backoff": 0.1,
        "backup_swift_timeout": 20.0,
        **options,
    }
    return SwiftDriver(settings(root, SwiftDriver, **given)).make_store()


@contextlib.contextmanager
def raw_server(begin: bytes, drip: bytes) -> Iterator[str]:
    """Give the place of a server that answers each connection with a begin, and then drips.

    It ends the connection where there is nothing that drips.
    """
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(begin)
            while drip and not ended.wait(0.05):  # the pace of the server, not a check
                connection.sendall(drip)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)


HEADS = {
    "status": (b"HTTP/1.1 200 OK", b"x"),
    "line": (b"HTTP/1.1 200 OK\r\nX-Padding: ", b"x"),
    "lines": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_of_s3_that_drips_ends(tmp_path: Path, head: str) -> None:
    with raw_server(*HEADS[head]) as place:
        store = s3_of(place, tmp_path, timeout=1.0)
        begin = time.monotonic()

        with pytest.raises(StoreError):
            list(store.reading("c", "p"))

    assert time.monotonic() - begin < patient(60)


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 100 Continue\r\n",
        b"HTTP/1.1 100 Continue\r\nX: y",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 417",
        b"",
    ],
)
def test_an_interim_answer_of_s3_that_ends_early(tmp_path: Path, begin: bytes) -> None:
    """The library reads the lines of its head up to an empty one, also behind the end."""
    with raw_server(begin, b"") as place:
        store = s3_of(place, tmp_path, timeout=1.0)
        failed = threading.Event()

        def write() -> None:
            try:
                with store.writing("c", "p") as upload:
                    upload.write(b"x" * 1000)
            except StoreError:
                failed.set()

        threading.Thread(target=write, daemon=True).start()
        assert failed.wait(60)


@pytest.mark.parametrize("version", ["2", "3"])
def test_a_login_that_does_not_end(tmp_path: Path, version: str) -> None:
    def endless(_request: Request) -> Answer:
        return 200, JSON, itertools.repeat(b" " * 65536)

    with serving(endless) as server:
        store = swift_of(f"http://{server.place}", tmp_path, version)
        with memory.traced() as peak:
            with pytest.raises(StoreError, match="more than 4194304 bytes"):
                list(store.listed("c", "p"))
            assert peak() < 48 * MIB


@pytest.mark.parametrize("version", ["2", "3"])
def test_a_login_that_drips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    now = itertools.count(0, 7)
    clock = SimpleNamespace(monotonic=lambda: float(next(now)))
    monkeypatch.setattr(http_answers, "time", clock)
    with serving(lambda _: (200, JSON, itertools.repeat(b" "))) as server:
        store = swift_of(f"http://{server.place}", tmp_path, version)
        with pytest.raises(StoreError, match="did not end in 20 s"):
            list(store.listed("c", "p"))


def test_the_head_of_a_login_that_drips(tmp_path: Path) -> None:
    with raw_server(*HEADS["line"]) as place:
        store = swift_of(f"http://{place}", tmp_path, "3", backup_swift_timeout=1.0)
        begin = time.monotonic()
        with pytest.raises(StoreError):
            list(store.listed("c", "p"))

    assert time.monotonic() - begin < patient(60)


@pytest.mark.parametrize("answer", [b"", b"[]", b"7", b"{}", b'{"token": []}', b"[" * 100_000])
@pytest.mark.parametrize("version", ["2", "3"])
def test_a_login_that_is_none(tmp_path: Path, version: str, answer: bytes) -> None:
    with serving(lambda _: (200, {**JSON, "X-Subject-Token": "t"}, [answer])) as server:
        store = swift_of(f"http://{server.place}/v{version}", tmp_path, version)
        with pytest.raises(StoreError):
            list(store.listed("c", "p"))


def test_a_login_at_keystone(tmp_path: Path) -> None:
    def account(request: Request) -> Answer:
        sent = {name.lower(): value for name, value in request.headers.items()}
        assert sent["x-auth-token"] == TOKEN
        return 200, JSON, [b"[]"]

    with serving(account) as swift:
        keystone = Keystone({"object-store": f"http://{swift.place}/v1/a"}, "secret")
        try:
            for address in (keystone.url, keystone.url.removesuffix("/v3")):
                assert list(swift_of(address, tmp_path, "3").listed("c", "p")) == []
            refused = swift_of(keystone.url, tmp_path, "3", backup_swift_key="wrong")
            with pytest.raises(StoreError, match="Keystone"):
                list(refused.listed("c", "p"))
            elsewhere = swift_of(keystone.url, tmp_path, "3", backup_swift_region_name="s")
            with pytest.raises(StoreError, match="object-store"):
                list(elsewhere.listed("c", "p"))
        finally:
            keystone.shutdown()
            keystone.server_close()
