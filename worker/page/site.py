# SPDX-License-Identifier: Apache-2.0
"""The pages by their paths, rendered by Jinja2 with each value escaped."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2

from worker.cli.access import Access, line_of
from worker.page import shown_values
from worker.page.views import lists, overview, subject
from worker.page.views.view import MovedView, NoView, PageView, Visit
from worker.printable import printable

Answered = dict[str, Any]

HTML = "text/html; charset=utf-8"

_FOLDER = Path(__file__).parent

_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript", ".svg": "image/svg+xml"}

_KEPT = (("Cache-Control", "max-age=3600"),)
"""Files have their version in their address."""

_PAGES: tuple[tuple[re.Pattern[str], Callable[..., PageView]], ...] = tuple(
    (re.compile(path), view)
    for path, view in (
        (r"/", overview.view),
        (r"/operations", lists.operations),
        (r"/operations/(?P<flow>[^/]+)", subject.operation),
        (r"/rejected", lists.rejected),
        (r"/backups", lists.backups),
        (r"/resources/(?P<kind>[a-z_]+)/(?P<resource_id>[^/]+)", subject.resource),
        (r"/requests/(?P<request_id>[^/]+)", subject.request),
        (r"/find", subject.find),
    )
)


class Site:
    """Answers requests.

    :param access: to configuration, journal and database.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= shown_values.FILTERS
        self._templates.globals |= {"link": link}

    def answer(self, request: Mapping[str, Any]) -> Answered:
        """Return status, kind and content.

        :param request: its path, query and ``state`` of the service; of ``part`` only the part
            that changes is wanted.
        """
        visit = Visit.of(request)
        if (name := visit.path.removeprefix("/static/")) != visit.path:
            return self._file(visit, name)
        try:
            return self._rendered(visit, _found(visit, self._access))
        except MovedView as moved:
            return _answer(HTTPStatus.SEE_OTHER, "", [("Location", moved.to)])
        except NoView as error:
            return self._failed(visit, error.status, str(error))
        except Exception as error:  # noqa: BLE001 - the reason is shown
            return self._failed(visit, HTTPStatus.SERVICE_UNAVAILABLE, line_of(error))
        finally:
            self._release()

    def _file(self, visit: Visit, name: str) -> Answered:
        if name not in _files():
            return self._failed(visit, HTTPStatus.NOT_FOUND, f"There is no file {name}.")
        found = _answer(HTTPStatus.OK, _files()[name], _KEPT)
        return {**found, "kind": _KINDS[Path(name).suffix]}

    def _failed(self, visit: Visit, status: HTTPStatus, text: str) -> Answered:
        return self._rendered(
            visit, PageView("failed.html", status.phrase, {"text": text}, status, follows=False)
        )

    def _rendered(self, visit: Visit, view: PageView) -> Answered:
        frame = "part.html" if visit.part else "whole.html"
        address = visit.path + (f"?{visit.query}" if visit.query else "")
        values = {
            "frame": frame,
            "title": view.title,
            "path": visit.path,
            "state": visit.state,
            "follow": f"/events?{urlencode({'page': address})}" if view.follows else "",
            "version": visit.state["version"],
            "now": time.time(),
            "wanted": visit.values.get("id", ""),
        }
        content = self._templates.get_template(view.template).render({**values, **view.values})
        return _answer(view.status, content)

    def _release(self) -> None:
        """Keep no connection to the journal, whose file may be replaced."""
        if "journal" in vars(self._access):
            self._access.journal.close()


def link(kind: str, which: str) -> str:
    """Return the address of the page about an operation, a request or a resource."""
    if kind == "flow":
        return f"/operations/{quote(which, safe='')}"
    if kind == "request":
        return f"/requests/{quote(which, safe='')}"
    return f"/resources/{quote(kind, safe='')}/{quote(which, safe='')}"


def _found(visit: Visit, access: Access) -> PageView:
    for pattern, view in _PAGES:
        if (match := pattern.fullmatch(visit.path)) is not None:
            return view(access, visit, **match.groupdict())
    raise NoView(f"There is no page {visit.path}.")


@functools.cache
def _files() -> Mapping[str, str]:
    return {path.name: path.read_text("utf-8") for path in (_FOLDER / "static").iterdir()}


def _shown(value: Any) -> Any:
    """Return a value as templates show it: control characters and the like as escapes."""
    if value is None:
        return ""
    return printable(value) if type(value) is str else value


def _answer(status: HTTPStatus, content: str, headers: Any = ()) -> Answered:
    name = f"{status.value} {status.phrase}"
    return {"status": name, "kind": HTML, "content": content, "headers": list(headers)}
