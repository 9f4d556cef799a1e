# SPDX-License-Identifier: Apache-2.0
"""The pages of the listener, made from the snapshots that the processes have written."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from worker.service.monitoring import exposition
from worker.service.monitoring import verdict as verdicts
from worker.service.monitoring.shared_snapshot import SharedSnapshot

_HIDDEN = ("at", "metrics")

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """An answer to one request.

    :param status: with its reason, as HTTP writes it.
    """

    status: str
    content: bytes
    kind: str = JSON


@dataclass(frozen=True)
class Asking:
    """The side that asks.

    :param is_allowed: whether it has the token.
    :param accept: the kinds of content that it understands.
    """

    is_allowed: bool
    accept: str


class Pages:
    """Answers requests of monitors.

    :param name: of the service.
    :param processes: their snapshots.
    :param token: that a request has to carry; empty for none. Without it probes get a verdict
        and no reasons, and other pages are refused.
    """

    def __init__(self, name: str, processes: Sequence[SharedSnapshot], token: str = "") -> None:
        self._name = name
        self._processes = processes
        self._token = token.encode()
        self._started = time.monotonic()
        self._collector = exposition.Collector(self._written)
        self._pages: Mapping[str, Callable[[Asking], Answer]] = {
            "/healthz": lambda asking: self._probe("alive", asking),
            "/readyz": lambda asking: self._probe("ready", asking),
            "/status": self._status,
            "/metrics": self._metrics,
        }

    def answer(self, path: str, authorization: str = "", accept: str = "") -> Answer:
        """Answer a GET request.

        :param authorization: the header of that name; ``accept`` likewise.
        """
        page = self._pages.get(path)
        if page is None:
            known = " ".join(self._pages)
            return Answer("404 Not Found", f"there are: {known}\n".encode(), TEXT)
        return page(Asking(self._is_allowed(authorization), accept))

    def _is_allowed(self, authorization: str) -> bool:
        if not self._token:
            return True
        scheme, _space, token = authorization.strip().partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), self._token)

    def _probe(self, kind: verdicts.Kind, asking: Asking) -> Answer:
        verdict = self._verdict(kind, self._snapshots())
        status = "200 OK" if verdict.passed else "503 Service Unavailable"
        return Answer(status, _json(verdict.shown(details=asking.is_allowed)))

    def _metrics(self, asking: Asking) -> Answer:
        if not asking.is_allowed:
            return _UNAUTHORIZED
        content, kind = exposition.page(self._collector, asking.accept)
        return Answer("200 OK", content, kind)

    def _written(self) -> list[dict[str, Any]]:
        return [one for one in self._snapshots() if one is not None]

    def _status(self, asking: Asking) -> Answer:
        if not asking.is_allowed:
            return _UNAUTHORIZED
        found = self._snapshots()
        shown: dict[str, Any] = {
            "service": self._name,
            "version": metadata.version("holdfast"),
            "alive": self._verdict("alive", found).passed,
            "ready": self._verdict("ready", found).passed,
            "reasons": [
                *self._verdict("alive", found).reasons,
                *self._verdict("ready", found).reasons,
            ],
            "processes": [_process(one) for one in found],
        }
        return Answer("200 OK", _json(shown))

    def _snapshots(self) -> list[dict[str, Any] | None]:
        return [one.read() for one in self._processes]

    def _verdict(
        self, kind: verdicts.Kind, found: Sequence[verdicts.Snapshot | None]
    ) -> verdicts.Verdict:
        return verdicts.verdict(kind, found, self._started)


def _process(snapshot: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if snapshot is None:
        return {}
    age = round(verdicts.age(snapshot, time.monotonic()), 1)
    return {**{name: value for name, value in snapshot.items() if name not in _HIDDEN}, "age": age}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


_UNAUTHORIZED = Answer("401 Unauthorized", b"a bearer token is required\n", TEXT)
