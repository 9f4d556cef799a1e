# SPDX-License-Identifier: Apache-2.0
"""A bus inside the process, with a service on it that records messages."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Any

import oslo_messaging
import pytest
from oslo_config import cfg

from worker.rpc import transport
from worker.rpc.server import Server

DEADLINE = 10
"""Seconds until a message that does not come is a failure."""


@dataclass(frozen=True)
class Arrived:
    """One message as a server gets it."""

    kind: str
    topic: str
    message: dict[str, Any]
    context: dict[str, Any]

    @property
    def args(self) -> dict[str, Any]:
        return self.message["args"]


class Service:
    """Takes all messages, on the given targets."""

    def __init__(self, bus):
        self._bus = bus
        self._servers = []
        self._arrived = queue.Queue()
        self.answer = None

    def listen(self, topic, server):
        target = oslo_messaging.Target(topic=topic, server=server)
        intake = _Intake(self, topic, self._arrived)
        self._servers.append(Server(self._bus, target, intake))
        self._servers[-1].start()

    def next(self) -> Arrived:
        return self._arrived.get(timeout=DEADLINE)

    def close(self):
        for server in self._servers:
            server.stop()
            server.wait()
        assert self._arrived.empty(), f"more came than was expected: {self._arrived.get()}"


class _Intake:
    def __init__(self, service, topic, arrived):
        self._service, self._topic, self._arrived = service, topic, arrived

    def cast(self, cast):
        message, context = cast.read()
        self._arrived.put(Arrived("cast", self._topic, dict(message), dict(context)))
        cast.acknowledge()
        return True

    def call(self, call):
        self._arrived.put(Arrived("call", self._topic, dict(call.message), dict(call.context)))
        answer = self._service.answer
        error = answer if isinstance(answer, BaseException) else None
        threading.Thread(target=call.reply, args=(answer if error is None else None, error)).start()


@pytest.fixture
def configured(tmp_path):
    """A function that makes a configuration of the test's own, not the global one."""

    def configured(url="rabbit://u:p@127.0.0.1:1/", *, default=(), notifications=(), **rabbit):
        sections = {
            "DEFAULT": {"transport_url": url, **dict(default)},
            "oslo_messaging_rabbit": rabbit,
            "oslo_messaging_notifications": dict(notifications),
        }
        file = tmp_path / "test.conf"
        file.write_text("\n".join(_lines(sections)))
        conf = cfg.ConfigOpts()
        conf([], project="test", default_config_files=[str(file)])
        return conf

    return configured


@pytest.fixture
def bus(configured):
    bus = transport.get(configured("kombu+memory://"), prefetch=5)
    yield bus
    bus.cleanup()


@pytest.fixture
def service(bus):
    service = Service(bus)
    yield service
    service.close()


def _lines(sections):
    for section, options in sections.items():
        yield f"[{section}]"
        for name, value in options.items():
            for one in value if isinstance(value, tuple) else [value]:
                yield f"{name} = {one}"
