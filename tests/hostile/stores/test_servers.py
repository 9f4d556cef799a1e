# SPDX-License-Identifier: Apache-2.0
"""A server in place of S3 or Swift whose answers do not end, inflate, or are no lists."""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
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
from tests.scripted.glance_server import Answer, GlanceStandIn, Request, serving

pytest.importorskip("boto3")
pytest.importorskip("swiftclient")

KINDS = ("s3", "swift")
TOO_LONG = "has more than 2097152 bytes"
XML = {"Content-Type": "application/xml"}
LIST = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%b</ListBucketResult>'


def endless(_request: Request | None = None) -> Iterator[bytes]:
    while True:
        yield b" " * 65536


def store_of(kind: str, place: str, root: Path) -> ObjectStore:
    """Return a client of a server."""
    if kind == "s3":
        options: dict[str, Any] = {
            "backup_s3_endpoint_url": f"http://{place}",
            "backup_s3_store_access_key": "a",
            "backup_s3_store_secret_key": "b",
            "backup_s3_retry_max_attempts": 0,
            "backup_s3_timeout": 20.0,
        }
        return S3Driver(settings(root, S3Driver, **options)).make_store()
    options = {
        "backup_swift_auth": "single_user",
        "backup_swift_auth_url": f"http://{place}/auth/v1.0",
        "backup_swift_user": "a:b",
        "backup_swift_key": "k",
        "backup_swift_retry_attempts": 1,
        "backup_swift_retry_backoff": 0.1,
        "backup_swift_timeout": 20.0,
    }
    return SwiftDriver(settings(root, SwiftDriver, **options)).make_store()


class Served:
    """Clients of a server; :attr:`answer` is its answer to all requests but a login."""

    answer: Callable[[Request], Answer]

    def __init__(self, root: Path) -> None:
        self._root = root
        self.server: GlanceStandIn

    def __call__(self, request: Request) -> Answer:
        if request.path.startswith("/auth/v1.0"):
            address = f"http://{self.server.place}/v1/a"
            return 200, {"X-Auth-Token": "t", "X-Storage-Url": address}, []
        return self.answer(request)

    def store(self, kind: str) -> ObjectStore:
        return store_of(kind, self.server.place, self._root)

    def answers(self, code: int, body: bytes, headers: Mapping[str, str] = XML) -> None:
        self.answer = lambda _: (code, dict(headers), [body])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    found = Served(tmp_path)
    with serving(found) as server:
        found.server = server
        yield found


def refused(call: Callable[[], object]) -> str:
    """Require an error of the store without much memory, and return its text."""
    return memory.refused(call, StoreError, 32 * MIB)


CALLS: dict[str, Callable[[ObjectStore], object]] = {
    "list": lambda store: [*store.listed("c", "p")],
    "read": lambda store: [*store.reading("c", "p")],
    "delete": lambda store: store.delete("c", "p"),
}


@pytest.mark.parametrize(
    ("call", "code"), [("list", 200), *itertools.product(("list", "read", "delete"), (400, 403))]
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_does_not_end(served: Served, kind: str, call: str, code: int) -> None:
    served.answer = lambda request: (code, XML, endless())
    store = served.store(kind)

    assert TOO_LONG in refused(lambda: CALLS[call](store))


def test_a_login_that_does_not_end(tmp_path: Path) -> None:
    with serving(lambda _: (200, XML, endless())) as server:
        store = store_of("swift", server.place, tmp_path)

        assert TOO_LONG in refused(lambda: CALLS["list"](store))


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_that_inflates(served: Served, kind: str) -> None:
    served.answers(200, gzip.compress(bytes(256 * MIB), 9), {"Content-Encoding": "gzip"})
    store = served.store(kind)

    assert TOO_LONG in refused(lambda: CALLS["list"](store))


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_that_drips(served: Served, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte at a time, each within the time of a read."""
    now = itertools.count(0, 7)
    clock = SimpleNamespace(monotonic=lambda: float(next(now)))
    monkeypatch.setattr(http_answers, "time", clock)
    served.answer = lambda _: (200, XML, itertools.repeat(b" "))
    store = served.store(kind)

    assert re.search("did not end in 20 s|Read timeout", refused(lambda: CALLS["list"](store)))


ENTITIES = b'<!DOCTYPE x [<!ENTITY a "' + b"x" * 200_000 + b'">]>'


@pytest.mark.parametrize(
    "body",
    [
        ENTITIES + LIST % (b"<Contents><Key>" + b"&a;" * 90 + b"</Key></Contents>"),
        ('<?xml version="1.0" encoding="utf-16"?>' + ENTITIES.decode() + "<x>&a;</x>").encode(
            "utf-16"
        ),
        b"<a>" * 250_000 + b"</a>" * 250_000,
        LIST % (b"<a/>" * 450_000),
        LIST % (b"<Contents/>" * 150_000),
        b"<a>" * 50_000,
        b"",
        b"\xff\xfe",
    ],
    ids=["entities", "utf-16", "deep", "flat", "contents", "no end", "empty", "no text"],
)
def test_a_list_of_s3_that_is_none(served: Served, body: bytes) -> None:
    served.answers(200, body)
    store = served.store("s3")

    if body:
        refused(lambda: CALLS["list"](store))
    else:
        assert CALLS["list"](store) == []


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b"[" * 90_000,
        b"[" + b"{}," * 600_000 + b"{}]",
        b'{"a":' * 300_000,
        b"7",
        b"{}",
        b'[{"name": 1}]',
        b'[{"name": "p", "bytes": "x"}]',
        b'[{"name": "p", "bytes": 1e999}]',
        b"\xff",
    ],
    ids=lambda body: f"{body[:24]!r}",
)
def test_a_list_of_swift_that_is_none(served: Served, body: bytes) -> None:
    served.answers(200, body, {"Content-Type": "application/json"})
    store = served.store("swift")

    if body == b"{}":
        assert CALLS["list"](store) == []
    else:
        refused(lambda: CALLS["list"](store))


@pytest.mark.parametrize("charset", ["utf-16", "idna", "zlib_codec", "no-such", "utf-7"])
def test_a_list_of_swift_in_another_charset(served: Served, charset: str) -> None:
    served.answers(200, b"[" * 200_000, {"Content-Type": f"text/json; charset={charset}"})
    store = served.store("swift")

    refused(lambda: CALLS["list"](store))


def test_an_object_that_becomes_shorter(served: Served) -> None:
    """The library skips the bytes that it has of the object, in a loop without an end."""
    data = b"x" * 1000
    headers = {"Content-Length": "100000", "ETag": "e"}
    answers = iter([(200, headers, [data]), (200, {"Content-Length": "5"}, [data[:5]])])
    served.answer = lambda _: next(answers)
    store = served.store("swift")

    assert "shorter than before" in refused(lambda: CALLS["read"](store))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_of_a_thousand_long_names_is_read(served: Served, kind: str) -> None:
    names = [f"p/{'n' * 1000}-{number:05d}" for number in range(1000)]
    if kind == "s3":
        more = f"<ETag>&quot;{'0' * 32}&quot;</ETag><StorageClass>STANDARD</StorageClass>"
        more += f"<Owner><ID>{'0' * 64}</ID><DisplayName>n</DisplayName></Owner>"
        rows = "".join(f"<Contents><Key>{n}</Key><Size>7</Size>{more}</Contents>" for n in names)
        served.answers(200, LIST % rows.encode())
    else:
        row = '{"name": "%s", "bytes": 7, "hash": "%s", "content_type": "a/b"}'
        page = f"[{','.join(row % (name, '0' * 32) for name in names)}]"
        pages = iter([page.encode(), b"[]"])
        served.answer = lambda _: (200, {"Content-Type": "application/json"}, [next(pages)])

    assert served.store(kind).names("c", "p") == dict.fromkeys(names, 7)
