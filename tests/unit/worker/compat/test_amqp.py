# SPDX-License-Identifier: Apache-2.0
"""The private parts of py-amqp are as ``worker.compat`` uses them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from amqp import basic_message
from amqp.channel import Channel

from worker.compat import amqp as compat

LONGEST = 10_000


@pytest.fixture(autouse=True)
def _limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limit messages for one test."""
    for name in ("_load_properties", "inbound_body"):
        kept = getattr(basic_message.Message, name)
        monkeypatch.setattr(basic_message.Message, name, kept)
    monkeypatch.setattr(Channel, "dispatch_method", Channel.dispatch_method)
    compat.limit_messages(LONGEST)
    yield


def received(properties: bytes, *body: bytes) -> basic_message.Message:
    """Return a message as it comes of its frames."""
    made = basic_message.Message()
    made.inbound_header(struct.pack(">HxxQ", 60, sum(map(len, body))) + properties)
    for part in body:
        assert not made.ready
        made.inbound_body(memoryview(part))
    return made


def test_a_message_of_the_library_is_received_as_before() -> None:
    sent = basic_message.Message(content_type="a/b", application_headers={"k": [1, {"l": "m"}]})
    found = received(sent._serialize_properties(), b"one ", b"two")

    assert found.ready
    assert bytes(found.body) == b"one two"
    assert found.properties == sent.properties


def test_properties_that_cannot_be_read_are_left_out() -> None:
    headers = b"\1tT" + b"\xff" * 8  # a time
    found = received(struct.pack(">HI", 0x2000, len(headers)) + headers, b"body")

    assert found.ready
    assert list(found.properties) == [compat.UNREADABLE]
    assert bytes(found.body) == b"body"


def test_of_a_long_body_the_begin_is_kept() -> None:
    found = received(struct.pack(">H", 0), b"a" * LONGEST, b"b" * LONGEST)

    assert found.ready
    assert found.body == b"a" * 4096
    assert found.body_size == 2 * LONGEST


@pytest.mark.parametrize(
    ("key", "shown"), [(b"a.b", b"a.b"), ("\u00e9".encode(), "\u00e9".encode()), (b"\xffa", b"?a")]
)
def test_a_routing_key_is_text(key: bytes, shown: bytes) -> None:
    def delivery(key: bytes) -> bytes:
        return b"\0\x3c\0\x3c\3tag" + b"\xff" * 8 + b"\1\2ex" + bytes([len(key)]) + key

    assert compat._as_text(delivery(key)) == delivery(shown)
