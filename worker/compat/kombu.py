# SPDX-License-Identifier: Apache-2.0
"""Private parts of kombu: the class of received messages, which would unpack any body.

A received message is unpacked in its constructor, before any consumer has seen its size: 785
bytes need 2 GiB. So each message of every consumer, replies included, is checked first. A
refused one has its body as it came, and raises the reason when it is decoded. Services whose
``[oslo_messaging_rabbit] kombu_compression`` is set send compressed bodies, which are unpacked
here, up to the size of a message.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from kombu.transport import pyamqp
from oslo_utils import units

from worker.compat import amqp

MESSAGE_MAX = 4 * units.Mi
"""Bytes of a message that are read; an API's messages have some ten thousand."""

CONTENT_TYPE = "application/json"
CONTENT_ENCODINGS = ("utf-8", "utf8")
"""The only ones that oslo.messaging sends."""


_UNPACKERS: Mapping[str, Callable[[], Any]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
}
"""By the names that kombu gives to the methods that oslo.messaging documents."""


class RefusedMessage(ValueError):
    """A message is not decoded, because of its properties or its size."""


class CheckedMessage(pyamqp.Message):
    """A message whose properties and size are checked before anything is unpacked."""

    def __init__(self, msg: Any, channel: Any = None, **more: Any) -> None:
        self.refusal = refusal(msg)
        if self.refusal is None:
            self.refusal = _unpack(msg)
        if self.refusal is not None:
            error: Any = (RefusedMessage, self.refusal, None)
            self.errors = [error]
        super().__init__(msg, channel=channel, **more)  # type: ignore[no-untyped-call]

    def _decode(self) -> Any:
        if self.refusal is not None:
            raise self.refusal
        return super()._decode()  # type: ignore[no-untyped-call]


def refusal(raw: Any) -> RefusedMessage | None:
    """Return why a message as it came is not decoded; None where it is."""
    properties = raw.properties
    if unreadable := properties.get(amqp.UNREADABLE):
        return RefusedMessage(f"its properties cannot be read: {unreadable:.200}")
    headers = properties.get("application_headers") or {}
    size = max(len(raw.body or b""), raw.body_size)
    if size > MESSAGE_MAX:
        return RefusedMessage(f"it has {size} bytes, more than {MESSAGE_MAX}")
    packed = headers.get("compression")
    if packed and (not isinstance(packed, str) or packed not in _UNPACKERS):
        return RefusedMessage(f"its body is compressed in an unknown way: {packed!r:.60}")
    if (kind := properties.get("content_type")) != CONTENT_TYPE:
        return RefusedMessage(f"its content type is {kind!r:.60}, not {CONTENT_TYPE}")
    encoding = properties.get("content_encoding")
    if str(encoding).lower() not in CONTENT_ENCODINGS:
        return RefusedMessage(f"its encoding is {encoding!r:.60}, not {CONTENT_ENCODINGS[0]}")
    return None


def _unpack(raw: Any) -> RefusedMessage | None:
    """Replace a compressed body by its data; return why that is not possible."""
    headers = dict(raw.properties.get("application_headers") or {})
    packed = headers.pop("compression", None)
    if not packed:
        return None
    body = raw.body.encode(errors="replace") if isinstance(raw.body, str) else bytes(raw.body)
    unpacker = _UNPACKERS[packed]()
    try:
        data = unpacker.decompress(body, MESSAGE_MAX + 1)
    except (OSError, ValueError, zlib.error) as error:
        return RefusedMessage(f"its compressed body is damaged: {error}")
    if len(data) > MESSAGE_MAX:
        return RefusedMessage(f"its compressed body has more than {MESSAGE_MAX} bytes")
    if not unpacker.eof or unpacker.unused_data:
        return RefusedMessage("its compressed body is damaged: it has another end")
    try:
        raw.body = data.decode()  # as the library does with the body of another message
    except UnicodeDecodeError:
        raw.body = data
    raw.properties = {**raw.properties, "application_headers": headers}
    return None


def check_messages() -> None:
    """Have all connections to brokers make checked messages; a second time has no effect."""
    amqp.limit_messages(MESSAGE_MAX)
    pyamqp.Channel.Message = CheckedMessage
