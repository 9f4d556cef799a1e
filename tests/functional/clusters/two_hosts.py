# SPDX-License-Identifier: Apache-2.0
"""Two hosts of a cluster, each with a script of its own, and messages to them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oslo_messaging

from drivers.interface.records import Record
from tests.functional.cloud import BACKEND, NODE, REQUEST, Cloud, encoded
from tests.functional.service import Service
from tests.scripted.volume_driver import Script
from tests.servers import until
from worker.compat.oslo_messaging import queue_depths
from worker.journal.journal import Journal

NAME = "c1"
CLUSTER = f"{NAME}@{BACKEND}"
SECOND = "h2"
HOSTS = (f"{NODE}@{BACKEND}", f"{SECOND}@{BACKEND}")
THREADS = 8


class TwoHosts(Cloud):
    """The hosts ``h1`` and ``h2`` of a cluster; volumes have the cluster's name."""

    def __init__(
        self,
        make: Callable[..., Service],
        bus: str,
        database: str,
        journal: str,
        locks: tuple[str, str],
        directory: Path,
    ) -> None:
        """Make them.

        :param locks: the address of the server of the locks, for each host.
        """
        self._journal = journal
        default = {"cluster": NAME, "executor_thread_pool_size": THREADS}
        sections = {
            "DEFAULT": default,
            "journal": {"connection": journal},
            "coordination": {"backend_url": locks[0]},
        }
        super().__init__(
            lambda **options: make("h1", **options), bus, database, directory, **sections
        )
        self.other_script = Script(directory / "other")
        backends = {BACKEND: {**self.backends[BACKEND], "script": str(self.other_script.directory)}}
        sections["DEFAULT"] = {**default, "host": SECOND}
        sections["coordination"] = {"backend_url": locks[1]}
        self.other = make("h2", bus=bus, database=database, backends=backends, sections=sections)
        self.services = (self.service, self.other)
        self.scripts = (self.script, self.other_script)

    def start(self) -> None:
        """Start both hosts, and wait for their heartbeats."""
        for service in self.services:
            service.start()
        until(lambda: len(self.rows()) == len(HOSTS), 60, "both rows")

    def reset(self) -> None:
        """Let both succeed; start those that do not run."""
        for script in self.scripts:
            script.plan()
        for service in self.services:
            if service.process is None:
                self.start_again(service)

    @staticmethod
    def start_again(service: Service) -> None:
        """Start a host that does not run, and wait until it consumes."""
        position = service.position()
        service.start()
        service.wait_for_log("takes operations for", after=position)

    def rows(self) -> list[Record]:
        """Return the rows of both services."""
        return list(self.records.services.list(binary="cinder-volume", cluster_name=CLUSTER))

    def row_of(self, host: str) -> Record:
        """Return the row of one service."""
        return next(row for row in self.rows() if row.host == host)

    def cluster(self) -> Record:
        """Return the row of the cluster."""
        found = self.records.services.cluster(CLUSTER, "cinder-volume")
        assert found is not None
        return found

    def client(self, version: str = "3.0", timeout: float = 20) -> Any:
        """Return an RPC client that sends to the queue of the cluster."""
        topic = f"cinder-volume.{CLUSTER}"
        target = oslo_messaging.Target(
            exchange="openstack", topic=topic, server=NAME, version=version
        )
        return oslo_messaging.get_rpc_client(self._transport, target, timeout=timeout)

    def cast_to_host(self, host: str, method: str, **args: Any) -> None:
        """Send a cast to the queue of one host."""
        topic, node = f"cinder-volume.{host}", host.partition("@")[0]
        target = oslo_messaging.Target(exchange="openstack", topic=topic, server=node)
        client = oslo_messaging.get_rpc_client(self._transport, target(version="3.0"))
        client.cast(dict(REQUEST), method, **encoded(args))

    def call_without_waiting(self, host: str, method: str, **args: Any) -> None:
        """Send a call to the queue of one host, whose reply is never read."""
        topic, node = f"cinder-volume.{host}", host.partition("@")[0]
        target = oslo_messaging.Target(exchange="openstack", topic=topic, server=node)
        client = oslo_messaging.get_rpc_client(self._transport, target(version="3.0"), timeout=60)

        def call() -> None:
            with contextlib.suppress(oslo_messaging.MessagingException):
                client.call(dict(REQUEST), method, **encoded(args))

        threading.Thread(target=call, daemon=True).start()

    def volume(self, status: str = "creating", **columns: Any) -> Record:
        """Insert a volume's row as the scheduler leaves it: of any host of the cluster."""
        columns.setdefault("cluster_name", f"{CLUSTER}#pool")
        return super().volume(status, **columns)

    def consumers(self) -> int:
        """Return how many hosts consume the queue of the cluster."""
        queue = f"cinder-volume.{CLUSTER}.{NAME}"
        _ready, count = queue_depths(self._transport, [queue])[queue]
        return count

    def journal(self) -> Journal:
        """Open the journal that both hosts share."""
        return Journal(self._journal)

    def host_of(self, volume: Record) -> str:
        """Return the host in the row of a volume, without its pool."""
        return str(self.records.volumes.get(volume.id).host).partition("#")[0]
