# SPDX-License-Identifier: Apache-2.0
"""The request that an operation serves, as flows see it."""

from __future__ import annotations

from typing import Any, Protocol


class Request(Protocol):
    """The user, the project and the request id, for log lines, rows and notifications."""

    @property
    def user_id(self) -> str | None:
        """The id of the requesting user."""

    @property
    def project_id(self) -> str | None:
        """The id of the user's project."""

    @property
    def request_id(self) -> str | None:
        """The id that all log lines of the request carry."""

    @property
    def is_admin(self) -> bool | None:
        """Whether the user has administrator's rights."""

    def elevated(self) -> Request:
        """Return the same request with administrator's rights."""

    def to_wire(self) -> dict[str, Any]:
        """Return the keys that travel with an onward cast."""
