# SPDX-License-Identifier: Apache-2.0
"""The pages of the listener, made from the snapshots that the processes have written."""

from __future__ import annotations

import base64
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
    :param headers: beside those that all answers have.
    """

    status: str
    content: bytes
    kind: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


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
        return page(Asking(self.is_allowed(authorization), accept))

    @property
    def has_token(self) -> bool:
        """Whether requests have to carry a token."""
        return bool(self._token)

    def has(self, path: str) -> bool:
        """Return whether a path is one of the pages for monitors."""
        return path in self._pages

    def is_allowed(self, authorization: str) -> bool:
        """Return whether a request carries the token, as bearer or as the password of any user."""
        if not self._token:
            return True
        scheme, _space, given = authorization.strip().partition(" ")
        if scheme.lower() == "basic":
            given = _password(given)
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.encode(), self._token)

    def state(self) -> dict[str, Any]:
        """Return the verdicts, and the snapshots of all processes."""
        found = self._snapshots()
        return {**self._shown(found), "processes": [_aged(one) for one in found]}

    def _probe(self, kind: verdicts.ProbeKind, asking: Asking) -> Answer:
        verdict = self._verdict(kind, self._snapshots())
        status = "200 OK" if verdict.passed else "503 Service Unavailable"
        return Answer(status, _json(verdict.shown(details=asking.is_allowed)))

    def _metrics(self, asking: Asking) -> Answer:
        if not asking.is_allowed:
            return UNAUTHORIZED
        content, kind = exposition.page(self._collector, asking.accept)
        return Answer("200 OK", content, kind)

    def _written(self) -> list[dict[str, Any]]:
        return [one for one in self._snapshots() if one is not None]

    def _status(self, asking: Asking) -> Answer:
        if not asking.is_allowed:
            return UNAUTHORIZED
        found = self._snapshots()
        shown = {**self._shown(found), "processes": [_process(one) for one in found]}
        return Answer("200 OK", _json(shown))

    def _shown(self, found: Sequence[verdicts.PublishedState | None]) -> dict[str, Any]:
        alive, ready = self._verdict("alive", found), self._verdict("ready", found)
        return {
            "service": self._name,
            "version": metadata.version("holdfast"),
            "alive": alive.passed,
            "ready": ready.passed,
            "reasons": [*alive.reasons, *ready.reasons],
        }

    def _snapshots(self) -> list[dict[str, Any] | None]:
        return [one.read() for one in self._processes]

    def _verdict(
        self, kind: verdicts.ProbeKind, found: Sequence[verdicts.PublishedState | None]
    ) -> verdicts.Verdict:
        return verdicts.verdict(kind, found, self._started)


def _process(snapshot: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {name: value for name, value in _aged(snapshot).items() if name not in _HIDDEN}


def _aged(snapshot: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if snapshot is None:
        return {}
    return {**snapshot, "age": round(verdicts.age(snapshot, time.monotonic()), 1)}


def _password(encoded: str) -> str:
    """Return the password of credentials of Basic authentication; "" where they are none."""
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


UNAUTHORIZED = Answer(
    "401 Unauthorized",
    b"a bearer token is required, or Basic authentication with the token as the password\n",
    TEXT,
    (
        ("WWW-Authenticate", 'Basic realm="Holdfast: the token is the password", charset="UTF-8"'),
        ("WWW-Authenticate", 'Bearer realm="Holdfast"'),
    ),
)
