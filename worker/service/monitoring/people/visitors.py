# SPDX-License-Identifier: Apache-2.0
"""Requests of people: pages, which may take a while, and streams of their changes.

They have threads beside those of monitors, a few of each, so that neither many people nor a
database that does not answer keeps a probe waiting.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import parse_qs

from worker.service.monitoring.pages import TEXT, UNAUTHORIZED, Answer, Pages
from worker.service.monitoring.people.page_process import PageProcess, PageUnavailable

VIEWS = 4
"""Pages that are made or waited for at once."""

STREAMS = 8
"""Streams of changes at once; further ones get one event, and come again."""

THREADS = VIEWS + STREAMS
"""Threads that serve people."""

PAUSE = 3.0
"""Seconds between two looks at a page, at least."""

SHARE = 20
"""A stream looks again after so many times the time that the last look took."""

LIFE = 600.0
"""Seconds of one stream; the browser opens another one."""

SILENCE = 15.0
"""Seconds after which a stream without changes sends a sign of life, for proxies."""

EVENTS = "/events"

_BUSY = "too many pages are looked at; try again"

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
"""Headers of each page: nothing from elsewhere, nothing inline, and in no frame."""


class Visitors:
    """Answers requests of people.

    :param pages: for monitors; they know the token and the processes.
    :param process: makes pages for people.
    :param is_tcp: whether the listener has an address of TCP.
    """

    def __init__(self, pages: Pages, process: PageProcess, *, is_tcp: bool = True) -> None:
        self._pages = pages
        self._process = process
        self._is_tcp = is_tcp
        self._views = threading.BoundedSemaphore(VIEWS)
        self._streams = threading.BoundedSemaphore(STREAMS)

    def refused(self, authorization: str, host: str) -> Answer | None:
        """Return the answer to a request that may not see a page; None for one that may.

        :param authorization: the header of that name; ``host`` likewise.
        """
        if not self._pages.is_allowed(authorization):
            return UNAUTHORIZED
        if self._is_tcp and not self._pages.has_token and not _is_own(host):
            text = f"no page for the name {host!r}: use localhost or an address, or set token_file"
            return Answer("403 Forbidden", f"{text}\n".encode(), TEXT)
        return None

    def view(self, path: str, query: str) -> Answer:
        """Return a page."""
        if not self._views.acquire(blocking=False):
            return _unavailable(_BUSY)
        try:
            return self._made(path, query)
        except PageUnavailable as error:
            return _unavailable(str(error))
        finally:
            self._views.release()

    def events(self, query: str, wait: Callable[[float], bool]) -> Generator[bytes]:
        """Yield the changes of a page.

        :param query: names the page, as ``page=/operations?state=failed``.
        :param wait: waits for seconds, or returns True at the end of the client or the service.
        """
        if not self._streams.acquire(blocking=False):
            yield _event("full", "too many browsers follow pages", retry=15)
            return
        try:
            path, _mark, rest = parse_qs(query).get("page", ["/"])[-1].partition("?")
            yield from self._changes(path, rest, wait)
        finally:
            self._streams.release()

    def close(self) -> None:
        """End the process that makes pages."""
        self._process.close()

    def _changes(self, path: str, query: str, wait: Callable[[float], bool]) -> Generator[bytes]:
        shown: tuple[str, bytes] | None = None
        until = time.monotonic() + LIFE
        spoken = time.monotonic()
        while (began := time.monotonic()) < until:
            found = self._look(path, query)
            if found != shown:
                shown, spoken = found, began
                yield _event(found[0], found[1].decode())
            elif began - spoken > SILENCE:
                spoken = began
                yield b": no change\n\n"
            if wait(max(PAUSE, SHARE * (time.monotonic() - began))):
                return

    def _look(self, path: str, query: str) -> tuple[str, bytes]:
        try:
            answer = self._made(path, query, part=True)
        except PageUnavailable as error:
            return "away", str(error).encode()
        return ("page" if answer.status.startswith("200") else "gone"), answer.content

    def _made(self, path: str, query: str, *, part: bool = False) -> Answer:
        """Have a page made. :param part: only its changing part, without the logs of the host."""
        asked: dict[str, Any] = {"path": path, "query": query, "part": part}
        found = self._process.ask({**asked, "state": self._pages.state()})
        headers = tuple((str(name), str(value)) for name, value in found.get("headers", ()))
        content = str(found["content"]).encode()
        return Answer(found["status"], content, found["kind"], (*_HEADERS, *headers))


def _is_own(host: str) -> bool:
    """Return whether a name is no other site's: a site can have its own name lead to this host."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.removeprefix("[").removesuffix("]")
    if name in ("", "localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _unavailable(text: str) -> Answer:
    headers = (*_HEADERS, ("Retry-After", "5"))
    return Answer("503 Service Unavailable", f"{text}\n".encode(), TEXT, headers)


def _event(kind: str, text: str, retry: int = 3) -> bytes:
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"retry: {retry * 1000}\nevent: {kind}\n{lines}\n".encode()
