# SPDX-License-Identifier: Apache-2.0
"""The places that an audit compares, from the configuration of the services of this host."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path

from oslo_config import cfg

from worker.audit.remote_objects import RemoteObjects
from worker.audit.sources import AuditedBackend, Sources
from worker.cli.access import Access, CommandError
from worker.conf import backends
from worker.db.criteria import BackendRows
from worker.rpc import topics
from worker.rpc.clients.volume import VolumeClient


def sources_of(access: Access, only: Sequence[str]) -> Sources:
    """Return the places of the backends in the configuration, and of the backup service.

    :param only: names of backends; empty for all.
    :raises CommandError: a backend is not in the configuration, or there is no journal.
    """
    conf = access.conf
    client = VolumeClient(access.bus, conf.rpc_response_timeout)
    return Sources(
        database=access.database,
        journal=access.journal,
        backends=list(_backends(conf, client, only)),
        volume_names=conf.volume_name_template,
        snapshot_names=conf.snapshot_name_template,
        lock_files=_lock_files(conf),
        served=[str(conf.host), *(one.rows.host for one in _backends(conf, client, ()))],
        backup_host=_backup_host(access),
        count_snapshots=not conf.no_snapshot_gb_quota,
    )


def _backends(
    conf: cfg.ConfigOpts, client: VolumeClient, only: Sequence[str]
) -> Iterator[AuditedBackend]:
    enabled = list(conf.enabled_backends)
    if unknown := [name for name in only if name not in enabled]:
        known = ", ".join(enabled) or "none"
        raise CommandError(f"no backend {unknown[0]} in enabled_backends: {known}")
    for name in only or enabled:
        backends.driver_name(conf, name)  # makes the options of its section known
        node = conf[name].backend_host or conf.host
        cluster = topics.join(conf.cluster, name) if conf.cluster else None
        rows = BackendRows(topics.join(node, name), cluster)
        yield AuditedBackend(rows, RemoteObjects(client, rows.name))


def _backup_host(access: Access) -> str | None:
    host = str(access.conf.host)
    found = access.records.services.list(binary=topics.BACKUP_TOPIC, host=host)
    return host if found else None


def _lock_files(conf: cfg.ConfigOpts) -> Path | None:
    place = urllib.parse.urlsplit(conf.coordination.backend_url)
    return Path(place.path) if place.scheme == "file" else None
