# SPDX-License-Identifier: Apache-2.0
"""The notifications that a telemetry service would hear."""

from __future__ import annotations

import json
import threading
from typing import Any

import kombu

from tests.servers import until

_TOPICS = ("notifications.info", "notifications.error")
_PATIENCE = 60.0


class Notifications:
    """Listens from now on, to notifications of both priorities, info and error.

    :param url: of the bus.
    """

    def __init__(self, url: str) -> None:
        self._heard: list[dict[str, Any]] = []
        self._ended = threading.Event()
        # "rabbit" is oslo's name of the transport.
        self._connection = kombu.Connection(url.replace("rabbit:", "amqp:", 1))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def of(self, resource_id: str) -> list[str]:
        """Return the types of the notifications about a resource, in order."""
        return [notice["event_type"] for notice in self.about(resource_id)]

    def payload(self, resource_id: str, event: str) -> dict[str, Any]:
        """Return the payload of an event; wait for it."""
        try:
            until(lambda: event in self.of(resource_id), _PATIENCE, event)
        except TimeoutError:
            raise TimeoutError(f"no {event}: {self.of(resource_id)}") from None
        [*_, last] = [n for n in self.about(resource_id) if n["event_type"] == event]
        return dict(last["payload"])

    def close(self) -> None:
        """Listen no more."""
        self._ended.set()
        self._thread.join()
        self._connection.release()

    def about(self, resource_id: str) -> list[dict[str, Any]]:
        """Return the notifications about a resource, in order."""
        wanted = json.dumps(resource_id)
        return [notice for notice in list(self._heard) if wanted in json.dumps(notice["payload"])]

    def _listen(self) -> None:
        exchange = kombu.Exchange("openstack", "topic", durable=False)
        queues = [kombu.Queue(name, exchange, name, durable=False) for name in _TOPICS]
        with self._connection.Consumer(queues, callbacks=[self._hear], no_ack=True):
            while not self._ended.is_set():
                try:
                    self._connection.drain_events(timeout=0.2)
                except TimeoutError:
                    continue

    def _hear(self, body: Any, _message: Any) -> None:
        content = body if isinstance(body, dict) else json.loads(body)
        self._heard.append(json.loads(content["oslo.message"]))
