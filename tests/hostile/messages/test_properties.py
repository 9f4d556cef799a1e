# SPDX-License-Identifier: Apache-2.0
"""Properties and size of a message are checked before its body is unpacked or decoded."""

from __future__ import annotations

import bz2
import json
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from amqp import basic_message
from kombu import compression
from kombu.transport import pyamqp

from tests.hostile import memory
from worker.compat import kombu as compat
from worker.compat.kombu import CheckedMessage, RefusedMessage

MIB = 1 << 20

_KOMBU_NAMES = {"gzip": "application/x-gzip", "bz2": "application/x-bz2"}


def raw(body: Any, **properties: Any) -> basic_message.Message:
    """Return a message as the AMQP library delivers it."""
    given = {"content_type": "application/json", "content_encoding": "utf-8", **properties}
    made = basic_message.Message(body, **given)
    made.delivery_info = {"delivery_tag": 1, "redelivered": False}
    return made


def received(body: Any, **properties: Any) -> CheckedMessage:
    return CheckedMessage(raw(body, **properties), channel=SimpleNamespace())


def small() -> bytes:
    """Return 256 MiB in the format of gzip's library."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(256)) + packer.flush()


BOMBS: dict[str, tuple[Callable[[], bytes], Any]] = {
    "gzip": (small, "application/x-gzip"),
    "zlib": (lambda: zlib.compress(small()), "zlib"),
    "bzip2": (lambda: bz2.compress(bytes(256 * MIB)), "application/x-bz2"),
    "bzip2 twice": (lambda: bz2.compress(bz2.compress(bytes(64 * MIB))), "bzip2"),
    "lzma": (lambda: b"{}", "application/x-lzma"),
    "unknown": (lambda: b"{}", "no such"),
    "list": (lambda: b"{}", ["gzip"]),
    "number": (lambda: b"{}", 7),
}
"""Makers of bodies of a few kilobytes that unpack to 256 MiB, with their headers.

The test makes its body, as that takes seconds, and each worker of pytest imports this module.
"""


@pytest.mark.parametrize(("make", "header"), BOMBS.values(), ids=list(BOMBS))
def test_a_compressed_body_is_not_unpacked(make: Callable[[], bytes], header: Any) -> None:
    body = make()
    with memory.traced() as peak:
        message = received(body, application_headers={"compression": header})
        with pytest.raises(RefusedMessage, match="compressed"):
            message.decode()
        assert peak() < 4 * compat.MESSAGE_MAX
    assert message.body == body
    assert message.errors


@pytest.mark.parametrize("method", ["gzip", "bz2"])
def test_a_message_of_a_service_that_compresses_is_decoded(method: str) -> None:
    """``kombu_compression`` of oslo.messaging, which an operator sets for all services."""
    sent = {"oslo.message": "x" * 100_000}
    body, header = compression.compress(json.dumps(sent).encode(), _KOMBU_NAMES[method])
    message = received(body, application_headers={"compression": header, "other": 1})

    assert message.decode() == sent
    assert message.headers == {"other": 1}


@pytest.mark.parametrize("header", ["application/x-gzip", "application/x-bz2"])
def test_a_damaged_compressed_body_is_refused(header: str) -> None:
    kind = "gzip" if "gzip" in header else "bz2"
    whole, _header = compression.compress(b"{}", _KOMBU_NAMES[kind])
    for body in (b"", b"{}", whole[:-1], whole + b"x", whole + whole, "{}"):
        with pytest.raises(RefusedMessage, match="damaged"):
            received(body, application_headers={"compression": header}).decode()


@pytest.mark.parametrize(
    "kind",
    [
        *("application/x-python-serialize", "application/x-yaml", "application/x-msgpack"),
        *("application/data", "text/plain", "text/json", "no/such-type", "", None, "x" * 200),
    ],
)
def test_another_content_type_is_refused(kind: str | None) -> None:
    with pytest.raises(RefusedMessage, match="content type"):
        received(b"{}", content_type=kind).decode()


@pytest.mark.parametrize(
    "encoding",
    [
        *("zlib_codec", "bz2_codec", "hex", "rot13", "idna", "punycode", "unicode_escape"),
        *("utf-16", "utf-7", "binary", "raw_unicode_escape", "no-such", "", None),
    ],
)
def test_another_encoding_is_refused(encoding: str | None) -> None:
    with pytest.raises(RefusedMessage, match="encoding"):
        received(b"{}", content_encoding=encoding).decode()


def test_a_long_body_is_refused() -> None:
    with pytest.raises(RefusedMessage, match="bytes"):
        received(b" " * (compat.MESSAGE_MAX + 1)).decode()


def test_a_message_of_a_service_is_decoded() -> None:
    for encoding in ("utf-8", "UTF-8", "utf8"):
        assert received(json.dumps({"a": 1}).encode(), content_encoding=encoding).decode() == {
            "a": 1
        }


def test_each_connection_makes_checked_messages() -> None:
    """The replies of other services, too, arrive through this class of the library."""
    compat.check_messages()

    made = pyamqp.Channel.message_to_python(
        SimpleNamespace(Message=pyamqp.Channel.Message), raw(b"{}", content_type="text/plain")
    )
    assert isinstance(made, CheckedMessage)
