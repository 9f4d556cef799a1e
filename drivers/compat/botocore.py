# SPDX-License-Identifier: Apache-2.0
"""Private parts of botocore: the session that sends the requests of a client, and its pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class RequestSender(Protocol):
    """Sends a request, as botocore's own session does."""

    def send(self, request: Any) -> Any:
        """Return the answer. :raises botocore.exceptions.HTTPClientError: there is none."""

    def close(self) -> None:
        """Close the connections."""


def sender_of(client: Any) -> RequestSender:
    """Return the session of a client."""
    found: RequestSender = client._endpoint.http_session
    return found


def send_through(client: Any, other: RequestSender) -> None:
    """Have the requests of a client sent by another session."""
    client._endpoint.http_session = other


def replace_pools(client: Any, replacement: Callable[[Any], Any]) -> None:
    """Replace the classes of the pools of connections of a client, before its first request.

    :param replacement: returns one for each class.
    """
    session = sender_of(client)
    classes: dict[str, Any] = session._pool_classes_by_scheme  # type: ignore[attr-defined]
    # The session's managers, those of proxies among them, share the mapping.
    classes.update({scheme: replacement(one) for scheme, one in classes.items()})
