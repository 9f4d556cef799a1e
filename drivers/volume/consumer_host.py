# SPDX-License-Identifier: Apache-2.0
"""Hosts of consumers: whether one is this host, and which have a volume attached."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any

from drivers.interface.records import Record

_SEPARATOR = "@"
"""Between the host and the backend in the host of a volume service."""


def is_here(connector: Mapping[str, Any], service_host: str) -> bool:
    """Return whether a connector is that of this host, under its own name or that of the service.

    :param service_host: of the backend, as ``node@backend``.
    """
    here = [socket.gethostname(), service_host.partition(_SEPARATOR)[0]]
    return bool(connector.get("host")) and connector["host"] in here


def foreign(connector: Mapping[str, Any]) -> str:
    """Return why a consumer on another host gets no path."""
    text = "is not this one, and the path of a file would be that of another file there"
    advice = "set local_export = nbd, or local_path_shared where it sees the same directory"
    return f"the connector's host {connector.get('host')!r:.80} {text}: {advice}"


def attached(attachments: Iterable[Record]) -> set[str | None]:
    """Return the hosts that have a volume attached; None stands for those that are not known.

    An attachment of an instance in the older manner has no host, and no connector.
    """
    return {
        one.attached_host or None
        for one in attachments
        if one.attached_host or one.attach_status == "attached"
    }
