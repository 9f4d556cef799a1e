# SPDX-License-Identifier: Apache-2.0
"""Rows and messages as an API and a scheduler make them, for hosts of one cluster."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import oslo_messaging
import sqlalchemy as sa
from oslo_config import cfg

from drivers.interface.records import Record
from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.cloud import REQUEST, encoded, with_tables
from worker.db import models
from worker.db.records import Records
from worker.journal.entries.listed_entry import JournalEntry
from worker.journal.journal import Journal
from worker.rpc import transport

BACKEND = "b1"
MANY = 1_000_000
TABLES = {"volume": models.volumes, "snapshot": models.snapshots, "backup": models.backups}
CONNECTOR = {"host": "compute", "initiator": "iqn.2016-04.com.open-iscsi:compute", "ip": "1.2.3.4"}


class ClusterCloud(BackupCloud):
    """The clients of several hosts.

    :param bus: transport URL.
    :param database: URL of Cinder's database, which is empty.
    :param journal: URL of the journal's database.
    :param hosts: names of the hosts.
    :param cluster: the name of their cluster; empty where they have none.
    :param quorum: whether queues are quorum queues; else they are durable.
    """

    def __init__(
        self,
        bus: str,
        database: str,
        journal: str,
        hosts: Sequence[str],
        cluster: str = "",
        *,
        quorum: bool = False,
    ) -> None:
        self.database = with_tables(database)
        self.records = Records(self.database)
        self.bus = bus
        self.hosts = list(hosts)
        self.cluster = cluster
        self._journal = journal
        self._chance = random.Random(1)
        conf = cfg.ConfigOpts()
        transport.register_opts(conf)
        conf([], default_config_files=[], default_config_dirs=[])
        name = "rabbit_quorum_queue" if quorum else "amqp_durable_queues"
        conf.set_override(name, True, group="oslo_messaging_rabbit")
        self._transport = oslo_messaging.get_rpc_transport(conf, url=bus)

    # -- rows ----------------------------------------------------------------------

    def volume(self, status: str = "creating", **columns: Any) -> Record:
        """Insert a volume's row as the API and the scheduler leave it."""
        place = {"host": f"{self.some_host()}@{BACKEND}#pool"}
        if self.cluster:
            place["cluster_name"] = f"{self.cluster}@{BACKEND}#pool"
        return super().volume(status, **{**place, **columns})

    def some_host(self) -> str:
        """Return a host, as the scheduler may choose it."""
        return self._chance.choice(self.hosts)

    def statuses(self, kind: str, ids: Collection[str]) -> dict[str, str]:
        """Return the statuses of those resources that have a row."""
        table = TABLES[kind]
        query = sa.select(table.c.id, table.c.status).where(
            table.c.id.in_(ids), table.c.deleted == sa.false()
        )
        rows = self.database.read(lambda connection: connection.execute(query).all())
        return {row.id: row.status for row in rows}

    def living(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return all rows of a kind that are not deleted, by id."""
        table = TABLES[kind]
        query = sa.select(table).where(table.c.deleted == sa.false())
        rows = self.database.read(lambda connection: connection.execute(query).mappings().all())
        return {row["id"]: dict(row) for row in rows}

    def workers(self) -> list[dict[str, Any]]:
        """Return the rows of work that has not ended."""
        table = models.workers
        query = sa.select(table).where(table.c.deleted == sa.false())
        rows = self.database.read(lambda connection: connection.execute(query).mappings().all())
        return [dict(row) for row in rows if row["resource_type"] != "SENTINEL"]

    # -- messages ------------------------------------------------------------------

    def client(self, version: str = "3.0", timeout: float = 20, host: str = "") -> Any:
        """Return an RPC client that sends to the queue of the cluster, or of one host."""
        server = self.cluster or host or self.hosts[0]
        topic = f"cinder-volume.{server}@{BACKEND}"
        return self._client(topic, server, version, timeout)

    def backup_client(self, version: str = "2.0", timeout: float = 20, host: str = "") -> Any:
        """Return an RPC client of one backup host."""
        return self._client("cinder-backup", host or self.hosts[0], version, timeout)

    def send(self, request: str, method: str, version: str = "3.0", **args: Any) -> None:
        """Cast to the volume services with the id of a request."""
        context = {**REQUEST, "request_id": request}
        self.client(version, host=host_of(args)).cast(context, method, **encoded(args))

    def send_backup(self, request: str, method: str, host: str, **args: Any) -> None:
        """Cast to a backup service with the id of a request."""
        context = {**REQUEST, "request_id": request}
        self.backup_client(host=host).cast(context, method, **encoded(args))

    def ask(self, request: str, method: str, version: str, timeout: float, **args: Any) -> Any:
        """Call the volume services with the id of a request."""
        context = {**REQUEST, "request_id": request}
        client = self.client(version, timeout, host_of(args))
        return client.call(context, method, **encoded(args))

    # -- the journal ---------------------------------------------------------------

    def journal(self) -> Journal:
        """Open the journal of the hosts."""
        return Journal(self._journal)

    def entries(self, *, rejected: bool = False) -> list[JournalEntry]:
        """Return the entries of the journal."""
        journal = self.journal()
        try:
            return journal.entries(rejected=rejected, limit=MANY)
        finally:
            journal.close()

    def path(self, volume: Record) -> Path:
        """There is no path here: the hosts share the files."""
        raise NotImplementedError

    def close(self) -> None:
        """Drop the connections."""
        self._transport.cleanup()
        self.database.dispose()

    def _client(self, topic: str, server: str, version: str, timeout: float) -> Any:
        target = oslo_messaging.Target(
            exchange="openstack", topic=topic, server=server, version=version
        )
        return oslo_messaging.get_rpc_client(self._transport, target, timeout=timeout)


def host_of(args: Mapping[str, Any]) -> str:
    """Return the host of the volume or snapshot among the arguments of a message."""
    if "vref" in args:
        host = args["vref"]["versioned_object.data"]["host"]
    else:
        record = next(one for one in args.values() if isinstance(one, Record))
        host = record.volume.host if record.kind == "snapshot" else record.host
    return str(host).partition("@")[0]
