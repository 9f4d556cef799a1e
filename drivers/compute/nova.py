# SPDX-License-Identifier: Apache-2.0
"""Nova, through keystoneauth.

The service asks in its own name: Nova takes events of volumes from services alone.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

from oslo_config import cfg

from drivers import http_answers, keystone, tls_errors
from drivers.interface.compute import ComputeService
from drivers.interface.errors import ComputeError

LOG = logging.getLogger(__name__)

ACCOUNTS = ("nova", "service_user", "keystone_authtoken")
"""Sections that may have an account; the first one that has is used."""

TIMEOUT = 20.0
"""Seconds for an answer where [nova] says nothing."""

_RETRIES = 2
"""How often news are sent again; nothing else is, as it may have arrived."""

_EXTENDED, _REIMAGED = ("volume-extended", "2.51"), ("volume-reimaged", "2.93")
"""Events, each with the version of the API that has it."""

_MISSING = "Nova is notified of volumes through keystoneauth1: pip install 'holdfast[nova]'"


class Nova(ComputeService):
    """Nova's API."""

    GROUP = "nova"
    OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.StrOpt("region_name", help="Region of Nova, where Keystone knows several."),
        cfg.StrOpt(
            "interface",
            default="public",
            choices=[
                ("public", "the one for users"),
                ("internal", "the one for other services"),
                ("admin", "the one for administrators"),
            ],
            help="Which address of Nova is taken from the catalogue of Keystone.",
        ),
    ]

    def __init__(self, conf: Any) -> None:
        super().__init__(conf)
        self._lock = threading.Lock()
        self._adapter: Any = None

    def check(self) -> None:
        """Check that the library is installed, without loading it: that takes memory."""
        if importlib.util.find_spec("keystoneauth1") is None:
            raise ComputeError(_MISSING)

    def volume_extended(self, context: Any, volume_id: str, instances: Sequence[str]) -> None:
        """Send ``volume-extended``."""
        self._send_event(context, _EXTENDED, volume_id, instances)

    def volume_reimaged(self, context: Any, volume_id: str, instances: Sequence[str]) -> None:
        """Send ``volume-reimaged``."""
        self._send_event(context, _REIMAGED, volume_id, instances)

    def swap_volume(self, context: Any, instance: str, volume_id: str, copy_id: str) -> None:
        """Update the instance's attachment."""
        path = f"/servers/{instance}/os-volume_attachments/{volume_id}"
        body = {"volumeAttachment": {"volumeId": copy_id}}
        self._request(context, "PUT", path, body, "2.1", retries=0)

    def _send_event(
        self, context: Any, event: tuple[str, str], volume_id: str, instances: Sequence[str]
    ) -> None:
        name, version = event
        events = [{"name": name, "server_uuid": one, "tag": volume_id} for one in instances]
        path, body = "/os-server-external-events", {"events": events}
        answer = self._request(context, "POST", path, body, version, retries=_RETRIES)
        for result in _events(answer):
            if result.get("code") != 200:
                LOG.warning("Nova did not accept the event %s: %s", name, result)

    def _request(
        self, context: Any, method: str, path: str, body: Any, version: str, *, retries: int
    ) -> bytes:
        """Send a request, and return the answer's body. :raises ComputeError: none, or an error."""
        headers = {"X-OpenStack-Request-ID": request} if (request := _request_of(context)) else {}
        how = {"connect_retries": retries, "status_code_retries": retries, "raise_exc": False}
        how |= {"stream": True, "log": False}  # see http_answers
        try:
            adapter = self._connected()
            with adapter.request(
                path, method, json=body, microversion=version, headers=headers, **how
            ) as answer:
                content = http_answers.content(answer.raw, adapter.session.timeout)
        except ComputeError:
            raise
        except Exception as error:
            reason = tls_errors.refusal(error, "[nova] cafile")
            shown = reason or f"{type(error).__name__}: {error}"
            raise ComputeError(f"Nova does not answer: {shown}") from error
        LOG.debug("Nova: %s %s: %d", method, path, answer.status_code)
        if answer.status_code >= 400:
            text = " ".join(content.decode(errors="replace").split())
            raise ComputeError(f"Nova refused: {answer.status_code} {text:.200}")
        return content

    def _connected(self) -> Any:
        with self._lock:
            if self._adapter is None:
                self._adapter = self._connect()
            return self._adapter

    def _connect(self) -> Any:
        self.check()
        # Late: an optional library, which takes memory.
        from keystoneauth1 import adapter

        section = keystone.account(self.conf, ACCOUNTS)
        if section is None:
            text = "no account for Nova: give [nova] auth_type, auth_url, username and the others"
            raise ComputeError(text)
        session = keystone.session(self.conf, section)
        session.timeout = session.timeout or TIMEOUT
        nova = self.conf[self.GROUP]
        return adapter.Adapter(
            session, service_type="compute", interface=nova.interface, region_name=nova.region_name
        )


def _request_of(context: Any) -> str | None:
    """Return the id under which all services note a request."""
    ids = (getattr(context, name, None) for name in ("global_request_id", "request_id"))
    return next((str(found) for found in ids if found), None)


def _events(answer: bytes) -> list[dict[str, Any]]:
    """Return the result of each event. :raises ComputeError: the answer is malformed."""
    try:
        events = json.loads(answer)["events"]
        return [dict(one) for one in events]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ComputeError(f"Nova's answer is not a list of events: {error}") from error
