# SPDX-License-Identifier: Apache-2.0
"""Names on the bus: ``host@backend#pool``, topics, servers (spec/service §1, §2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import oslo_messaging

from flows.errors import InvalidVolume

TOPIC = "cinder-volume"
SCHEDULER_TOPIC = "cinder-scheduler"
BACKUP_TOPIC = "cinder-backup"

DEFAULT_POOL = "_pool0"
"""The pool of a backend that names none and has no name itself."""

Level = Literal["host", "backend", "pool"]


def join(node: str, backend: str) -> str:
    """Return ``host@backend``."""
    return f"{node}@{backend}"


def append_pool(host: str, pool: str | None) -> str:
    """Return ``host@backend#pool``; a host that has a pool keeps it."""
    return host if not pool or "#" in host else f"{host}#{pool}"


def extract_host(host: str | None, level: Level = "backend") -> str | None:
    """Return a part of ``host@backend#pool``.

    The backend is the part before the first ``#``, the host the part before the first
    ``@`` of that; the pool is the part after the only ``#``, None otherwise.

    :raises InvalidVolume: there is no host, as when nothing was scheduled yet.
    """
    if not host:
        raise InvalidVolume("there is no host: the resource was not scheduled to a backend")
    backend, *pools = host.split("#")
    if level == "backend":
        return backend
    if level == "host":
        return backend.partition("@")[0]
    return pools[0] if len(pools) == 1 else None


def pool_of(host: str, backend_name: str | None = None) -> str:
    """Return the pool under which a volume's capacity is counted.

    :param backend_name: ``volume_backend_name``, for volumes of backends without pools.
    """
    return extract_host(host, "pool") or backend_name or DEFAULT_POOL


def same_backend(one: str | None, other: str | None) -> bool:
    """Return whether two hosts are one backend, whatever their pools.

    :raises InvalidVolume: one of them is missing.
    """
    return extract_host(one) == extract_host(other)


def address(row: Mapping[str, Any]) -> str:
    """Return where a resource is served: its cluster, or else its host.

    :raises InvalidVolume: it has neither.
    """
    found = row.get("cluster_name") or row.get("host")
    if not found:
        raise InvalidVolume(f"{row.get('id')} has no host: it was not scheduled to a backend")
    return str(found)


def volume_targets(node: str, backend: str, cluster: str | None) -> list[oslo_messaging.Target]:
    """Return the targets that a backend's process listens on.

    The second is where a scheduler sends; the third is shared by a cluster's hosts.
    """
    host = join(node, backend)
    targets = [
        oslo_messaging.Target(topic=TOPIC, server=host),
        oslo_messaging.Target(topic=f"{TOPIC}.{host}", server=node),
    ]
    if cluster:
        topic = cluster_topic(join(cluster, backend))
        targets.append(oslo_messaging.Target(topic=topic, server=cluster))
    return targets


def cluster_topic(cluster: str) -> str:
    """Return the topic whose queue the hosts of a cluster share.

    :param cluster: ``cluster@backend``.
    """
    return f"{TOPIC}.{cluster}"


def volume_target(host: str | None, version: str) -> oslo_messaging.Target:
    """Return the address of messages about a resource of ``host@backend#pool``.

    :param host: the resource's :func:`address`.
    :raises InvalidVolume: there is no host.
    """
    backend, node = extract_host(host), extract_host(host, "host")
    return oslo_messaging.Target(topic=f"{TOPIC}.{backend}", server=node, version=version)


def backup_target(host: str | None, version: str | None = None) -> oslo_messaging.Target:
    """Return the target of a host's backup service.

    :raises InvalidVolume: there is no host.
    """
    return oslo_messaging.Target(
        topic=BACKUP_TOPIC, server=extract_host(host, "host"), version=version
    )


def fanout_exchange(topic: str) -> str:
    """Return the exchange through which every server of a topic is reached."""
    return f"{topic}_fanout"
