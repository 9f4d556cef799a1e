# SPDX-License-Identifier: Apache-2.0
"""Private parts of botocore: the session that sends the requests of a client."""

from __future__ import annotations

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
