# SPDX-License-Identifier: Apache-2.0
"""Headers with the present trace, in requests to image services and object stores.

The worker knows the trace, and drivers import nothing of it: it gives its function here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Headers = Callable[[], Mapping[str, str]]


class TraceHeaders:
    """The headers; none unless the worker gives a function."""

    def __init__(self) -> None:
        self.current: Headers = dict

    def add_to(self, session: Any) -> None:
        """Let each request of a session carry the headers of the moment when it is sent.

        :param session: of requests, before its first request.
        """
        for adapter in session.adapters.values():
            adapter.add_headers = self._add

    def _add(self, request: Any, **_: Any) -> None:
        request.headers.update(self.current())


TRACE_HEADERS = TraceHeaders()
"""The headers of this process."""
