# SPDX-License-Identifier: Apache-2.0
"""The places that an audit compares, from the configuration of the services of this host."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from oslo_config import cfg

from drivers.interface.errors import BackupDriverException
from worker.audit.remote_objects import RemoteObjects
from worker.audit.sources import AuditedBackend, Sources, Unable
from worker.cli.access import Access, CommandError
from worker.conf import backends
from worker.conf.option_groups import backup as options
from worker.db.criteria import BackendRows
from worker.rpc import topics
from worker.rpc.clients.volume import VolumeClient


def sources_of(access: Access, only: Sequence[str]) -> Sources:
    """Return the places of the backends in the configuration, and of the backup service.

    :param only: names of backends; empty for all.
    :raises CommandError: a backend is not in the configuration, or there is no journal.
    """
    conf = access.conf
    client, store = VolumeClient(access.bus, conf.rpc_response_timeout), Store(conf)
    return Sources(
        database=access.database,
        journal=access.journal,
        backends=list(_backends(conf, client, only)),
        volume_names=conf.volume_name_template,
        snapshot_names=conf.snapshot_name_template,
        lock_files=_lock_files(conf),
        served=[str(conf.host), *(one.rows.host for one in _backends(conf, client, ()))],
        backup_host=_backup_host(access),
        backup_services=store.services,
        stored_backups=store.ids,
        count_snapshots=not conf.no_snapshot_gb_quota,
    )


class Store:
    """The store of backups, which this process reads itself, as ``holdfast backup verify``."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._class, self.services = options.driver_class(conf)

    def ids(self, containers: Iterable[str]) -> Iterator[str]:
        """Yield the ids of the backups in the store. :raises Unable: it cannot be read."""
        try:
            driver = self._class(options.Settings(self._conf))
            yield from driver.list_backups(containers)
        except (NotImplementedError, AttributeError) as error:
            reason = str(error) if isinstance(error, NotImplementedError) else ""
            raise Unable(reason or "its driver does not list backups") from error
        except BackupDriverException as error:
            raise Unable(str(error)) from error


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
