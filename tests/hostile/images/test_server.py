# SPDX-License-Identifier: Apache-2.0
"""A server in place of Glance whose answers are no records, or do not end."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterator

import pytest

from drivers.image import glance
from drivers.image.glance import GlanceImages
from drivers.interface.errors import ImageCopyFailure
from tests.hostile import memory
from tests.scripted.glance_server import Answer, serving

pytest.importorskip("keystoneauth1")

MIB = 1024**2


def endless() -> Iterator[bytes]:
    while True:
        yield b" " * 65536


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., GlanceImages]]:
    """A function that gives a client of a server which answers each request in one way."""
    answers: list[Callable[[], Answer]] = []
    monkeypatch.setattr(glance, "_PAUSE", 0.0)
    with serving(lambda _: answers[0]()) as server:

        def serve(code: int, body: Callable[[], Iterator[bytes]], **headers: str) -> GlanceImages:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answers.append(lambda: (code, named, body()))
            return server.client()

        yield serve


def refused(call: Callable[[], object]) -> str:
    """Require an error of images without much memory, and return its text."""
    return memory.refused(call, ImageCopyFailure, 64 * MIB)


@pytest.mark.parametrize(
    ("method", "code"),
    [
        *itertools.product(("show", "get_location", "create"), (200, 400, 500)),
        *itertools.product(("delete", "download"), (400, 500)),
    ],
)
def test_an_answer_that_does_not_end(
    serve: Callable[..., GlanceImages], code: int, method: str
) -> None:
    images = serve(code, endless)

    def call() -> object:
        if method == "create":
            return images.create(None, {"name": "n"})
        answer = getattr(images, method)(None, "i1")
        return list(answer) if method == "download" else answer

    assert "has more than 4194304 bytes" in refused(call)


def test_an_answer_that_inflates(serve: Callable[..., GlanceImages]) -> None:
    bomb = gzip.compress(bytes(256 * MIB), 9)
    images = serve(200, lambda: iter([bomb]), Content_Encoding="gzip")

    assert "has more than 4194304 bytes" in refused(lambda: images.show(None, "i1"))


@pytest.mark.parametrize("body", [b"[]", b"7", b'"a"', b"{", b"", b"\xff", b"[" * 200_000])
def test_an_answer_that_is_no_record(serve: Callable[..., GlanceImages], body: bytes) -> None:
    images = serve(200, lambda: iter([body]))

    refused(lambda: images.show(None, "i1"))


def test_data_that_does_not_end_comes_in_small_chunks(serve: Callable[..., GlanceImages]) -> None:
    images = serve(200, endless, Content_Type="application/octet-stream")
    chunks = images.download(None, "i1")
    assert chunks is not None

    assert all(0 < len(next(chunks)) <= glance.CHUNK for _ in range(20))
    chunks.close()  # type: ignore[attr-defined]


def test_data_that_ends_early(serve: Callable[..., GlanceImages]) -> None:
    images = serve(200, lambda: iter([b"x" * 100]), Content_Length="1000")
    chunks = images.download(None, "i1")
    assert chunks is not None

    with pytest.raises(ImageCopyFailure, match="cannot be read to its end"):
        list(chunks)
