# SPDX-License-Identifier: Apache-2.0
"""Private parts of py-amqp: how frames become the properties and the body of a message.

An error while a frame is read ends the connection, and the broker delivers the message again over
the next one: a time beyond the year 9999, deep headers, or an address that is no text keep every
other message of the queue from being received. A body is collected whole, up to the limit of the
broker, for each message that is fetched ahead. So these messages are received without their
properties, or without their body, and :mod:`worker.compat.kombu` refuses them.
"""

from __future__ import annotations

from typing import Any

from amqp import basic_message, spec
from amqp.channel import Channel

UNREADABLE = "holdfast_unreadable"
"""Property of a message whose properties cannot be read: the reason."""

_BEGIN = 4096
"""Bytes that are kept of a body that is too long."""

_LOAD, _ADD = basic_message.Message._load_properties, basic_message.Message.inbound_body
_DISPATCH = Channel.dispatch_method


def limit_messages(longest: int) -> None:
    """Have messages received that cannot be read, and the bodies of long ones dropped.

    A second time has no effect.

    :param longest: bytes of a body that is kept.
    """

    def load_properties(self: Any, class_id: int, buf: Any, offset: int) -> int:
        try:
            return int(_LOAD(self, class_id, buf, offset))
        except Exception as error:  # noqa: BLE001 - the frame may hold anything at all
            self.properties = {UNREADABLE: f"{type(error).__name__}: {error}"}
            return len(buf)

    def inbound_body(self: Any, buf: Any) -> None:
        if self.body_size <= longest:
            _ADD(self, buf)
            return
        if not self.body_received:
            self.begin = bytes(buf[:_BEGIN])
        self.body_received += len(buf)
        if self.body_received >= self.body_size:
            self.body, self.ready = self.begin, True

    basic_message.Message._load_properties = load_properties
    basic_message.Message.inbound_body = inbound_body
    Channel.dispatch_method = _dispatch_method


def _dispatch_method(self: Any, method: tuple[int, int], payload: Any, content: Any) -> Any:
    if method == spec.Basic.Deliver:
        payload = _as_text(bytes(payload))
    return _DISPATCH(self, method, payload, content)


def _as_text(delivery: bytes) -> bytes:
    """Return the arguments of a delivery with a routing key that is text.

    They are the method, the consumer, the tag of 8 bytes, a bit, the exchange, the routing key.
    The broker takes any bytes as the key, which a fanout exchange delivers.
    """
    at = 4 + 1 + delivery[4] + 8 + 1
    at += 1 + delivery[at] + 1
    key = delivery[at:]
    try:
        key.decode()
    except UnicodeDecodeError:
        key = bytes(byte if byte < 128 else ord("?") for byte in key)
    return delivery[:at] + key
