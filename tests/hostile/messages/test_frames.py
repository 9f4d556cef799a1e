# SPDX-License-Identifier: Apache-2.0
"""Messages that the AMQP library cannot read: their frames are made by hand.

An error while a frame is read ends the connection. The broker delivers the message again over the
next one, so that a single message keeps every other one from being received.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import amqp
import pytest

from tests.functional.cloud import HOST, NODE, Cloud
from tests.functional.service import Service
from tests.hostile.messages import test_among_good_ones as among
from tests.hostile.messages.test_among_good_ones import all_taken
from tests.servers import until

MIB = 1 << 20
QUEUE = f"cinder-volume.{HOST}.{NODE}"


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    url = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    made = Cloud(volume_service, rabbit_url, url, tmp_path)
    made.service.start()
    yield made
    made.close()


@pytest.fixture
def channel(cloud: Cloud) -> Iterator[amqp.Channel]:
    place = urlsplit(cloud.bus)
    connection = amqp.Connection(
        f"{place.hostname}:{place.port}", "guest", "guest", virtual_host=place.path[1:]
    )
    connection.connect()
    yield connection.channel()
    connection.close()


def unhurt(cloud: Cloud) -> None:
    """Require that the connection of the consumers is the first one."""
    among.unhurt(cloud)
    log = cloud.service.text()
    assert "the message bus is away" not in log
    assert "connects to the message bus anew" not in log


class Raw(amqp.Message):
    """A message whose properties are these bytes."""

    raw: bytes

    def _serialize_properties(self) -> bytes:
        return self.raw


def short(text: bytes) -> bytes:
    return struct.pack("B", len(text)) + text


def table(items: bytes) -> bytes:
    return struct.pack(">I", len(items)) + items


def deep(depth: int) -> bytes:
    items = b""
    for _ in range(depth):
        items = short(b"k") + b"F" + table(items)
    return items


def properties(headers: bytes = b"", kind: bytes = b"application/json") -> bytes:
    """Return a content type, an encoding, and a table of headers."""
    return struct.pack(">H", 0xE000) + short(kind) + short(b"utf-8") + table(headers)


UNREADABLE = {
    "time": properties(short(b"t") + b"T" + b"\xff" * 8),
    "time of the message": struct.pack(">H", 0x0040) + b"\xff" * 8,
    "deep": properties(deep(8_000)),
    "decimal": properties(short(b"d") + b"D" + b"\xff" + b"\x7f\xff\xff\xff"),
    "no text": properties(kind=b"\xff\xfe"),
}


def raw(data: bytes, body: bytes = b"{}") -> Raw:
    made = Raw(body)
    made.raw = data
    return made


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=list(UNREADABLE))
def test_a_message_with_properties_that_cannot_be_read(
    cloud: Cloud, channel: amqp.Channel, data: bytes
) -> None:
    channel.basic_publish(raw(data), "openstack", QUEUE)
    all_taken(cloud)

    unhurt(cloud)
    assert len(cloud.entries(rejected=True)) == 1


def test_a_routing_key_that_is_no_text(cloud: Cloud, channel: amqp.Channel) -> None:
    channel.basic_publish(raw(properties()), "cinder-volume_fanout", b"\xff\xfe\x80")
    until(lambda: len(cloud.entries(rejected=True)) == 1, 60, "the rejection")
    all_taken(cloud)

    unhurt(cloud)


def test_a_body_of_a_hundred_mebibytes_is_not_kept(cloud: Cloud, channel: amqp.Channel) -> None:
    process = cloud.service.process
    assert process is not None

    def peak() -> int:
        lines = (Path(f"/proc/{one}/status").read_text() for one in process.family())
        return max(int(text.partition("VmHWM:")[2].split()[0]) for text in lines)

    before = peak()
    for _ in range(3):
        channel.basic_publish(raw(properties(), bytes(100 * MIB)), "openstack", QUEUE)
    all_taken(cloud)

    assert peak() - before < 64 * 1024
    assert len(cloud.entries(rejected=True)) == 3
