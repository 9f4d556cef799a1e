# SPDX-License-Identifier: Apache-2.0
"""A page before it is rendered, and the request for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from worker.cli.access import line_of
from worker.explanation.document import without_secrets

PAGES_MOST = 10_000
"""The last page of a list that can be asked for."""


@dataclass(frozen=True)
class PageView:
    """A template with its values.

    :param follows: whether a browser is to show changes as they come.
    """

    template: str
    title: str
    values: Mapping[str, Any]
    status: HTTPStatus = HTTPStatus.OK
    follows: bool = True


class NoView(Exception):
    """There is no such page; the text has the reason."""

    def __init__(self, text: str, status: HTTPStatus = HTTPStatus.NOT_FOUND) -> None:
        super().__init__(text)
        self.status = status


class MovedView(Exception):
    """Another page has the answer."""

    def __init__(self, to: str) -> None:
        super().__init__(to)
        self.to = to


@dataclass(frozen=True)
class Visit:
    """A request.

    :param part: whether only the part is wanted that changes.
    :param state: verdicts and snapshots of the service.
    """

    path: str
    query: str
    part: bool
    state: Mapping[str, Any]

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Visit:
        """Read a request of the listener."""
        path = str(request["path"])
        return cls(path, str(request["query"]), bool(request["part"]), request["state"])

    @property
    def values(self) -> dict[str, str]:
        """The values in the query."""
        return dict(parse_qsl(self.query))

    @property
    def number(self) -> int:
        """The page of a list, from 1 on. :raises NoView: it is none."""
        text = self.values.get("page", "1")
        if not text.isascii() or not text.isdecimal() or not 0 < int(text[:9]) <= PAGES_MOST:
            raise NoView(
                f"{text!r:.50} is no page: pages have numbers from 1 to {PAGES_MOST}.",
                HTTPStatus.BAD_REQUEST,
            )
        return int(text)


@dataclass(frozen=True)
class PagePart:
    """A part of a page, or why it cannot be shown."""

    value: Any = None
    problem: str = ""


def attempted(read: Callable[[], Any]) -> PagePart:
    """Read a part of a page; the others are shown also when it fails."""
    try:
        return PagePart(without_secrets({"value": read()})["value"])
    except Exception as error:  # noqa: BLE001 - the reason is shown
        return PagePart(problem=line_of(error))
