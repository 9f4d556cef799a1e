# SPDX-License-Identifier: Apache-2.0
"""Who asked for an operation: read off the bus, kept in logs, sent onward."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from oslo_context import context as oslo_context

_SECRETS = frozenset({"auth_token", "service_catalog", "service_token"})
"""Never stored: a journal outlives them, and who reads it must not get them."""

_TRANSPORT = frozenset({"msg_id", "reply_q", "client_timeout"})


class RequestContext(oslo_context.RequestContext):
    """A request context that keeps every key it came with.

    :param wire: the keys as they came, without the prefix ``_context_``.
    """

    def __init__(self, wire: Mapping[str, Any], **overrides: Any) -> None:
        self._wire = {**wire, **overrides}
        known = self._wire.get
        super().__init__(
            auth_token=known("auth_token"),
            user_id=known("user_id") or known("user"),
            project_id=known("project_id") or known("project") or known("tenant"),
            domain_id=known("domain_id") or known("domain"),
            user_domain_id=known("user_domain"),
            project_domain_id=known("project_domain"),
            project_name=known("project_name"),
            is_admin=bool(known("is_admin")),
            roles=list(known("roles") or ()),
            request_id=known("request_id"),
            global_request_id=known("global_request_id"),
            resource_uuid=known("resource_uuid"),
            overwrite=False,
        )

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> RequestContext:
        """Read a context as the bus hands it over; unknown keys are kept."""
        return cls({key: value for key, value in wire.items() if key not in _TRANSPORT})

    @classmethod
    def from_journal(cls, stored: Mapping[str, Any]) -> RequestContext:
        """Read a context back that was stored without its secrets."""
        return cls(stored)

    @classmethod
    def admin(cls) -> RequestContext:
        """Return the service's own context."""
        return cls({"is_admin": True, "roles": ["admin"], "read_deleted": "no"})

    def to_wire(self) -> dict[str, Any]:
        """Return every key that came, with ours filled in, for an onward message."""
        timestamp = datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat()
        ours = {
            "user_id": self.user_id,
            "project_id": self.project_id,
            "is_admin": bool(self.is_admin),
            "roles": self.roles,
            "request_id": self.request_id,
            "global_request_id": self.global_request_id,
            "auth_token": self.auth_token,
        }
        return {"timestamp": timestamp, "read_deleted": "no", **self._wire, **ours}

    def to_dict(self) -> dict[str, Any]:
        """Return the same for libraries that serialize a context."""
        return {**super().to_dict(), **self.to_wire()}

    def to_journal(self) -> dict[str, Any]:
        """Return what may be stored: everything but secrets."""
        wire = {k: v for k, v in self._wire.items() if k not in _SECRETS}
        return {**wire, "request_id": self.request_id}

    def elevated(self) -> RequestContext:
        """Return the same user and project with administrator's rights."""
        roles = [*self.roles] if "admin" in self.roles else [*self.roles, "admin"]
        wire = {**self._wire, "request_id": self.request_id}
        return RequestContext(wire, is_admin=True, roles=roles)

    @contextmanager
    def bound(self, resource_id: str | None = None) -> Iterator[None]:
        """Put request and resource id into every log line of this thread."""
        outer = oslo_context.get_current()
        before, self.resource_uuid = self.resource_uuid, resource_id
        self.update_store()
        try:
            yield
        finally:
            self.resource_uuid = before
            oslo_context._request_store.context = outer


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
