# SPDX-License-Identifier: Apache-2.0
"""Names on the bus: ``host@backend#pool``, topics and servers (spec/service §1, §2)."""

from __future__ import annotations

from typing import Literal

import oslo_messaging

from flows.errors import InvalidVolume

TOPIC = "cinder-volume"
SCHEDULER_TOPIC = "cinder-scheduler"

Level = Literal["host", "backend", "pool"]


def join(node: str, backend: str) -> str:
    """Return ``host@backend``."""
    return f"{node}@{backend}"


def append_pool(host: str, pool: str) -> str:
    """Return ``host@backend#pool``; a host that has a pool keeps it."""
    return host if "#" in host else f"{host}#{pool}"


def extract(host: str | None, level: Level = "backend") -> str | None:
    """Return a part of ``host@backend#pool``.

    The pool is what follows the only ``#``; with more than one there is none.

    :raises InvalidVolume: there is no host, as when nothing was scheduled yet.
    """
    if not host:
        raise InvalidVolume("there is no host: the resource was not scheduled to a backend")
    backend = host.split("#")[0]
    if level == "backend":
        return backend
    if level == "host":
        return backend.split("@")[0]
    parts = host.split("#")
    return parts[1] if len(parts) == 2 else None


def same_backend(one: str | None, other: str | None) -> bool:
    """Say whether two hosts are one backend, whatever their pools."""
    return extract(one) == extract(other)


def volume_targets(node: str, backend: str, cluster: str | None) -> list[oslo_messaging.Target]:
    """Return what a backend's process listens on.

    The second is where a scheduler sends; the third is shared by a cluster's hosts.
    """
    host = join(node, backend)
    targets = [
        oslo_messaging.Target(topic=TOPIC, server=host),
        oslo_messaging.Target(topic=f"{TOPIC}.{host}", server=node),
    ]
    if cluster:
        shared = join(cluster, backend)
        targets.append(oslo_messaging.Target(topic=f"{TOPIC}.{shared}", server=cluster))
    return targets


def volume_target(host: str, version: str) -> oslo_messaging.Target:
    """Return where to send what concerns a volume on ``host@backend#pool``."""
    backend, node = extract(host), extract(host, "host")
    return oslo_messaging.Target(topic=f"{TOPIC}.{backend}", server=node, version=version)
