# SPDX-License-Identifier: Apache-2.0
"""A process that is stopping: casts stay with the broker, callers get an error."""

from __future__ import annotations

import logging
import types

import oslo_messaging
import pytest

from flows.errors import ProcessStopping
from worker.rpc import server

STOPPING = ProcessStopping("create_volume was not begun: the process is stopping")


class _Message(dict):
    """A message of an AMQP driver."""

    acknowledged = False

    def acknowledge(self) -> None:
        self.acknowledged = True


class _Stopping:
    """An intake at any point of a stop."""

    def __init__(self, *, has_slot: bool) -> None:
        self._has_slot = has_slot

    def wait_for_capacity(self, timeout: float) -> bool:
        if not self._has_slot:
            raise STOPPING
        return True

    def cast(self, message: object, context: object) -> None:
        raise STOPPING

    def malformed(self, body: object, error: Exception) -> None:
        raise STOPPING


@pytest.mark.parametrize("has_slot", [False, True], ids=["no slot", "no journal"])
def test_a_cast_is_not_acknowledged(has_slot: bool, caplog: pytest.LogCaptureFixture) -> None:
    listener = object.__new__(server._Listener)
    listener._intake = _Stopping(has_slot=has_slot)
    message = _Message(method="create_volume", _unique_id="ab" * 16)

    listener(message)

    assert not message.acknowledged
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_an_unreadable_message_is_not_acknowledged() -> None:
    listener = object.__new__(server._Listener)
    listener._intake = _Stopping(has_slot=True)
    consumer = types.SimpleNamespace(queue=types.SimpleNamespace(channel=None))
    acknowledged: list[bool] = []
    raw = types.SimpleNamespace(body=b"no JSON", ack=lambda: acknowledged.append(True))

    listener.guarded(consumer)(raw)

    assert acknowledged == []


def test_a_caller_gets_an_error(bus, service) -> None:
    service.listen("volume", "h1")
    service.answer = STOPPING
    target = oslo_messaging.Target(topic="volume", server="h1")
    client = oslo_messaging.get_rpc_client(bus, target, timeout=10)

    with pytest.raises(oslo_messaging.RemoteError) as caught:
        client.call({}, "create_volume")

    assert caught.value.exc_type == "CinderException"
    assert caught.value.value == str(STOPPING)
    service.next()
