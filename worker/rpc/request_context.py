# SPDX-License-Identifier: Apache-2.0
"""Context of a request: read from a message, used in log lines, sent with further messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from oslo_context import context as oslo_context
from oslo_utils import timeutils

from drivers.compat.oslo_context import bind
from worker.spans.traces import TRACES

_SECRET = re.compile("token|catalog|secret|password|credential|auth|^trace_info$")
"""Parts of the names of keys that are never stored, those of senders newer than us included.

The last one is of osprofiler, and has the key with which its senders prove themselves.
"""

_OF_THE_BUS = frozenset({"msg_id", "reply_q", "client_timeout"})
"""Keys that oslo.messaging puts beside those of a request."""

_STORABLE = (str, int, float, bool, type(None))


class RequestContext(oslo_context.RequestContext):
    """A request context that keeps every key it came with.

    A malformed value counts as absent: a cast must not be lost because of fields that only
    log lines and further messages use.

    :param wire: the keys as they came, without the prefix ``_context_``.
    :param changes: keys with other values.
    """

    def __init__(self, wire: Mapping[str, Any], **changes: Any) -> None:
        self._wire = {**wire, **changes}
        outer = oslo_context.get_current()
        super().__init__(
            auth_token=self._text("auth_token"),
            user_id=self._text("user_id", "user"),
            project_id=self._text("project_id", "project", "tenant"),
            domain_id=self._text("domain_id", "domain"),
            user_domain_id=self._text("user_domain"),
            project_domain_id=self._text("project_domain"),
            project_name=self._text("project_name"),
            system_scope=self._text("system_scope"),
            is_admin=self._wire.get("is_admin") is True,
            roles=self._texts("roles"),
            request_id=self._text("request_id"),
            global_request_id=self._text("global_request_id"),
            overwrite=False,
        )
        # The parent binds the first context of a thread for good; here only bound() binds.
        bind(outer)
        self.read_deleted = self._text("read_deleted") or "no"

    @property
    def service_catalog(self) -> Any:
        """The addresses of services for the project, unchecked; None where they are unknown."""
        return self._wire.get("service_catalog")

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> RequestContext:
        """Read a context as the bus hands it over; unknown keys are kept."""
        return cls({key: value for key, value in wire.items() if key not in _OF_THE_BUS})

    @classmethod
    def from_journal(cls, stored: Mapping[str, Any]) -> RequestContext:
        """Read a context back that was stored without its secrets."""
        return cls(stored)

    @classmethod
    def admin(cls) -> RequestContext:
        """Return the service's own context."""
        return cls({"is_admin": True, "roles": ["admin"]})

    @property
    def received(self) -> Mapping[str, Any]:
        """The keys as they came."""
        return self._wire

    def to_wire(self) -> dict[str, Any]:
        """Return every received key, and those that Cinder's services expect besides.

        A trace that the receiver continues is the present one, where traces are on.
        """
        now = timeutils.utcnow(with_timezone=True).isoformat(timespec="microseconds")
        ours = {
            "user_id": self.user_id,
            "project_id": self.project_id,
            "is_admin": self.is_admin,
            "roles": list(self.roles),
            "request_id": self.request_id,
            "read_deleted": self.read_deleted,
        }
        return {**_DEFAULTS, "timestamp": now, **self._wire, **ours, **TRACES.outgoing()}

    def to_dict(self) -> dict[str, Any]:
        """Return the same for libraries that serialize a context."""
        return self.to_wire()

    def redacted_copy(self, **changes: Any) -> RequestContext:
        """Return the same request without secrets, for listeners whom we do not know."""
        shown = {key: value for key, value in self._wire.items() if not _is_secret(key)}
        return RequestContext(shown, request_id=self.request_id, **changes)

    def to_journal(self) -> dict[str, Any]:
        """Return the received keys that may be stored, without secrets.

        Of keys that Cinder has not, only plain values are kept.
        """
        stored = {
            key: value
            for key, value in self._wire.items()
            if not _is_secret(key) and (key in _DEFAULTS or isinstance(value, _STORABLE))
        }
        return {**stored, "request_id": self.request_id}

    def elevated(self) -> RequestContext:
        """Return the same user, project and request with administrator's rights."""
        roles = [*self.roles] if "admin" in self.roles else [*self.roles, "admin"]
        return RequestContext(self._wire, request_id=self.request_id, is_admin=True, roles=roles)

    def get_logging_values(self) -> dict[str, Any]:
        """Return the fields for log formats; called for every line."""
        return {
            "request_id": self.request_id,
            "global_request_id": self.global_request_id,
            "user": self.user_id,
            "user_id": self.user_id,
            "project": self.project_id,
            "project_id": self.project_id,
            "project_name": self.project_name,
            "domain": self.domain_id,
            "user_domain": self.user_domain_id,
            "project_domain": self.project_domain_id,
            "system_scope": self.system_scope,
            "user_name": self.user_name,
            "domain_name": self.domain_name,
            "user_domain_name": self.user_domain_name,
            "project_domain_name": self.project_domain_name,
            "resource_uuid": self.resource_uuid,
            "user_identity": self._identity(),
        }

    @contextmanager
    def bound(self, resource_id: str | None = None) -> Iterator[None]:
        """Put request and resource id into every log line of this thread."""
        outer, before = oslo_context.get_current(), self.resource_uuid
        self.resource_uuid = resource_id or before
        bind(self)
        try:
            yield
        finally:
            self.resource_uuid = before
            bind(outer)

    def _identity(self) -> str:
        return (
            f"{self.user_id or '-'} {self.project_id or '-'} {self.domain_id or '-'}"
            f" {self.user_domain_id or '-'} {self.project_domain_id or '-'}"
        )

    def _text(self, *names: str) -> str | None:
        for name in names:
            value = self._wire.get(name)
            if isinstance(value, str) and value:
                return value
        return None

    def _texts(self, name: str) -> list[str]:
        value = self._wire.get(name)
        return [v for v in value if isinstance(v, str)] if isinstance(value, list | tuple) else []


class ContextSerializer:
    """Lets an RPC client take a RequestContext; arguments go as they are."""

    def serialize_entity(self, context: Any, entity: Any) -> Any:
        """Return the argument."""
        return entity

    def deserialize_entity(self, context: Any, entity: Any) -> Any:
        """Return the answer."""
        return entity

    def serialize_context(self, context: RequestContext) -> dict[str, Any]:
        """Return the keys that travel."""
        return context.to_wire()

    def deserialize_context(self, wire: Mapping[str, Any]) -> RequestContext:
        """Read them back."""
        return RequestContext.from_wire(wire)


def _is_secret(key: str) -> bool:
    return _SECRET.search(key.lower()) is not None


_DEFAULTS: Mapping[str, Any] = {
    "user": None,
    "user_id": None,
    "project": None,
    "project_id": None,
    "project_name": None,
    "domain": None,
    "domain_id": None,
    "user_domain": None,
    "project_domain": None,
    "system_scope": None,
    "user_identity": "- - - - -",
    "is_admin": False,
    "is_admin_project": True,
    "read_only": False,
    "show_deleted": False,
    "read_deleted": "no",
    "auth_token": None,
    "service_catalog": [],
    "roles": [],
    "request_id": None,
    "global_request_id": None,
    "resource_uuid": None,
    "remote_address": None,
    "timestamp": None,
    "quota_class": None,
    "message_resource_id": None,
    "message_resource_type": None,
    "message_action": None,
}
"""The keys of a context of Cinder 29 (spec/service §2)."""
