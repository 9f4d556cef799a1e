# SPDX-License-Identifier: Apache-2.0
"""Downloads whose connection breaks: they continue, and never with another image's data."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from drivers.image import glance
from drivers.image.glance_client.answer import GlanceAnswer
from drivers.interface.errors import ImageCopyFailure, ImageError, ImageNotFound
from tests.scripted.glance_server import Answer, GlanceStandIn, Request, serving

pytest.importorskip("keystoneauth1")

MIB = 1024**2
DATA = bytes(range(256)) * 4096 * 3 + b"end"
FIRST = f"bytes={MIB}-"

Play = Callable[[int, Request], Answer]
"""The answer to a request, by its number from 0 on."""


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "_PAUSE", 0.0)
    monkeypatch.setattr(glance, "_BROKEN_PAUSE", 0.0)


def whole(sent: bytes = DATA, size: int = len(DATA), **headers: str) -> Answer:
    """Answer with all data; less is sent where the connection breaks."""
    return 200, {"Content-Length": str(size), **headers}, [sent]


def begin_of(request: Request) -> int:
    return int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def part(request: Request, sent: int = len(DATA), size: int = len(DATA), shift: int = 0) -> Answer:
    """Answer with the data that a request wants, of which so many bytes are sent."""
    begin = begin_of(request) + shift
    place = f"bytes {begin}-{size - 1}/{size}"
    headers = {"Content-Range": place, "Content-Length": str(size - begin)}
    return 206, headers, [DATA[begin : begin + sent]]


def slice_of(request: Request, longest: int) -> Answer:
    """Answer as a proxy that sends parts of a length at most, and ends each correctly."""
    begin = begin_of(request)
    end = min(begin + longest, len(DATA))
    headers = {"Content-Length": str(end - begin)}
    headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(DATA)}"
    return 206, headers, [DATA[begin:end]]


def download(
    play: Play, retries: int = 1, checksum: str | None = "0" * 32
) -> tuple[bytes, list[str | None]]:
    """Read an image; return its data, and the parts that were asked for."""
    record = json.dumps({"id": "i1", "checksum": checksum}).encode()
    with serving(lambda _: whole()) as server:

        def answer(request: Request) -> Answer:
            if not request.path.endswith("/file"):
                return 200, {"Content-Length": str(len(record))}, [record]
            return play(len(asked(server)) - 1, request)

        server.answer = answer
        images = server.client(glance_num_retries=retries)
        data = b"".join(images.download(None, "i1") or ())
        return data, asked(server)


def asked(server: GlanceStandIn) -> list[str | None]:
    data = [one for one in server.requests if one.path.endswith("/file")]
    return [request.headers.get("Range") for request in data]


def broken_then(*answers: Callable[[Request], Answer]) -> Play:
    """Break after the first MiB, then give these answers, the last one for ever."""

    def play(number: int, request: Request) -> Answer:
        if number == 0:
            return whole(DATA[: MIB + 7])
        return answers[min(number, len(answers)) - 1](request)

    return play


def test_the_rest_is_asked_for_where_the_connection_broke() -> None:
    assert download(broken_then(part)) == (DATA, [None, FIRST])


def test_a_server_that_sends_all_of_it_again() -> None:
    assert download(broken_then(lambda _: whole())) == (DATA, [None, FIRST])


@pytest.mark.parametrize("code", [400, 416])
def test_a_store_that_reads_no_parts(code: int) -> None:
    play = broken_then(lambda _: (code, {}, [b"no part"]), lambda _: whole())

    assert download(play) == (DATA, [None, FIRST, None])


def test_a_server_that_starts_again_meanwhile() -> None:
    play = broken_then(lambda _: (503, {}, [b"starting"]), part)

    assert download(play) == (DATA, [None, FIRST, FIRST])


def test_a_connection_that_breaks_again_and_again_but_brings_data() -> None:
    def play(number: int, request: Request) -> Answer:
        return part(request, MIB + 7) if number else whole(DATA[: MIB + 7])

    data, requests = download(play)

    assert (data, len(requests)) == (DATA, 3)


def test_a_connection_that_brings_no_more_data_is_given_up() -> None:
    with pytest.raises(ImageCopyFailure, match="cannot be read to its end"):
        download(broken_then(lambda request: part(request, 0)))


def test_a_connection_that_breaks_before_any_data() -> None:
    def play(number: int, _: Request) -> Answer:
        return whole(DATA if number else b"")

    assert download(play) == (DATA, [None, None])


@pytest.mark.parametrize(
    ("answer", "error", "match"),
    [
        (lambda request: part(request, size=len(DATA) - 1), ImageCopyFailure, "has changed"),
        (lambda _: whole(size=len(DATA) - 1), ImageCopyFailure, "has changed"),
        (lambda request: part(request, shift=1), ImageCopyFailure, "from byte 1048577 on"),
        (lambda request: (206, {}, part(request)[2]), ImageCopyFailure, "from byte None on"),
        (lambda _: (404, {}, []), ImageNotFound, "has no image i1"),
        (lambda _: (204, {}, []), ImageNotFound, "has no data"),
    ],
)
def test_an_image_that_is_another_one_by_then(
    answer: Callable[[Request], Answer], error: type[ImageError], match: str
) -> None:
    with pytest.raises(error, match=match):
        download(broken_then(answer))


def test_an_image_with_another_hash_by_then() -> None:
    def play(number: int, _: Request) -> Answer:
        headers = {"Content-MD5": f"{number:032}"}
        return whole(DATA if number else DATA[: MIB + 7], **headers)

    with pytest.raises(ImageCopyFailure, match="has changed during its download: MD5"):
        download(play)


def test_parts_that_are_shorter_than_the_rest() -> None:
    data, requests = download(lambda _, request: slice_of(request, MIB + 7))

    assert (data, len(requests)) == (DATA, 3)


def test_tiny_parts_are_given_up() -> None:
    with pytest.raises(ImageCopyFailure, match="cannot be read to its end"):
        download(lambda _, request: slice_of(request, 7))


def test_all_of_it_again_but_cut_off() -> None:
    play = broken_then(lambda _: (206, {"Content-Range": f"bytes 0-6/{len(DATA)}"}, [DATA[:7]]))

    with pytest.raises(ImageCopyFailure, match="cannot be read to its end"):
        download(play)


@pytest.mark.parametrize(
    ("answers", "match"),
    [
        ([whole(DATA[: MIB + 7]), (200, {}, [DATA, b"more"])], "it has more than"),
        ([whole(DATA[: MIB + 7], ETag="1"), whole(ETag="2")], "ETag 2, not 1"),
    ],
)
def test_data_that_does_not_continue_the_begin(answers: list[Answer], match: str) -> None:
    with pytest.raises(ImageCopyFailure, match=f"has changed during its download: {match}"):
        download(lambda number, _: answers[number])


def test_data_of_unknown_length_that_is_shorter_than_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, breaks = GlanceAnswer.data, iter([True])

    def read_and_break(*args: Any) -> Iterator[bytes]:
        yield from read(*args)
        if next(breaks, False):
            raise ConnectionResetError("it broke off")

    monkeypatch.setattr(GlanceAnswer, "data", read_and_break)
    with pytest.raises(ImageCopyFailure, match="it ends 7 bytes before"):
        download(lambda number, _: (200, {}, [DATA[7 * number :]]))


def test_an_image_without_a_hash_is_not_continued() -> None:
    with pytest.raises(ImageCopyFailure, match="cannot be read to its end"):
        download(broken_then(part), checksum=None)


def test_coded_data_has_no_parts() -> None:
    coded = gzip.compress(DATA, 1)
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(coded))}

    def play(number: int, _: Request) -> Answer:
        return 200, headers, [coded if number else coded[: len(coded) // 2]]

    assert download(play) == (DATA, [None, None])
