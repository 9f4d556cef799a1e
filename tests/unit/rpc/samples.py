# SPDX-License-Identifier: Apache-2.0
"""Messages of a running Cinder 29, one file per method, one or two samples each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "wire"


@dataclass(frozen=True)
class Sample:
    """One message as it was on the bus."""

    service: str
    kind: str
    routing_key: str
    message: dict[str, Any]
    reply: Any

    @property
    def method(self) -> str:
        return self.message["method"]

    @property
    def context(self) -> dict[str, Any]:
        """The request context as a server is handed it."""
        prefix = "_context_"
        return {k.removeprefix(prefix): v for k, v in self.message.items() if prefix in k}

    def __str__(self) -> str:
        return f"{self.service}.{self.method}"


def load() -> list[Sample]:
    """Return all of them."""
    return [
        Sample(
            path.name.partition(".")[0],
            entry["kind"],
            entry["amqp"]["routing_key"],
            entry["envelope"]["oslo.message"],
            entry["reply"]["envelope"]["oslo.message"] if "reply" in entry else None,
        )
        for path in sorted(FOLDER.glob("*.json"))
        for entry in json.loads(path.read_text())
    ]


SAMPLES = load()


def of(method: str, service: str = "cinder-volume") -> Sample:
    """Return the first sample of a method."""
    return next(s for s in SAMPLES if s.method == method and s.service == service)


def primitives(value: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield every primitive of a class inside a value."""
    if isinstance(value, dict):
        if value.get("versioned_object.name") == name:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from primitives(entry, name)
