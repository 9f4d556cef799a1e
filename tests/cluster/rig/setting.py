# SPDX-License-Identifier: Apache-2.0
"""The servers that the hosts of a run share, each in a namespace of its own."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import Broker, MariaDB, PostgreSQL
from tests.servers.mariadb import KEEP_COMMITS
from tests.servers.place import Place
from tests.servers.several.etcd import Etcd
from tests.servers.several.galera import Galera, GaleraNode
from tests.servers.several.network import Network
from tests.servers.several.rabbitmq_cluster import BrokerCluster
from tests.servers.several.redis import Redis

NODES = 3
CONNECTIONS = "--max-connections=1500"
"""Option for as many connections as three clusters of three hosts have in the worst case."""


@dataclass(frozen=True)
class Kinds:
    """The kinds of servers of a run.

    :param database: ``mysql``, ``galera`` or ``postgresql``.
    :param locks: ``redis`` or ``etcd``.
    :param broker: ``rabbitmq``, or ``quorum`` for a cluster of three nodes.
    """

    database: str = "mysql"
    locks: str = "redis"
    broker: str = "rabbitmq"

    def missing(self) -> list[str]:
        """Return the programs that are not installed."""
        databases = {"mysql": MariaDB, "galera": GaleraNode, "postgresql": PostgreSQL}
        locks = {"redis": Redis, "etcd": Etcd}
        return [
            *databases[self.database].missing(),
            *locks[self.locks].missing(),
            *Broker.missing(),
        ]


class Setting:
    """Servers that run within ``with``, in a network of their own."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.network = Network()
        self.directory = Path(tempfile.mkdtemp(prefix="hfc-", dir="/tmp"))
        self.directory.chmod(0o755)  # PostgreSQL and Galera run as other users
        self.locks: Any = self._locks()
        self.database: Any = self._database()
        self.broker: Any = self._broker()

    @property
    def targets(self) -> dict[str, list[str]]:
        """The addresses of each kind of server."""
        return {
            "broker": [node.place.address for node in nodes(self.broker)],
            "database": [node.place.address for node in nodes(self.database)],
            "locks": [self.locks.place.address],
        }

    def start(self) -> None:
        """Start all at once."""
        servers = (self.locks, self.database, self.broker)
        with ThreadPoolExecutor(len(servers)) as pool:
            for done in [pool.submit(server.start) for server in servers]:
                done.result()

    def close(self) -> None:
        """End all, and remove their files and the network."""
        for server in (self.locks, self.database, self.broker):
            server.close()
        self.network.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Setting:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self, name: str) -> Place:
        return self.network.namespace(name).place

    def _places(self, name: str) -> list[Place]:
        return [self._place(f"{name}{number}") for number in range(1, NODES + 1)]

    def _locks(self) -> Any:
        kind = {"redis": Redis, "etcd": Etcd}[self.kinds.locks]
        return kind(self.directory / "locks", place=self._place("locks"))

    def _database(self) -> Any:
        directory = self.directory / "database"
        if self.kinds.database == "galera":
            return Galera(directory, self._places("db"))
        if self.kinds.database == "mysql":
            return MariaDB(directory, place=self._place("db"), options=[KEEP_COMMITS, CONNECTIONS])
        return PostgreSQL(directory, place=self._place("db"))

    def _broker(self) -> Any:
        directory = self.directory / "broker"
        if self.kinds.broker == "quorum":
            return BrokerCluster(directory, self._places("mq"))
        return Broker(directory, place=self._place("mq"))


def nodes(server: Any) -> list[Any]:
    """Return the nodes of a server; a server of one node is that node."""
    return list(getattr(server, "nodes", [server]))
