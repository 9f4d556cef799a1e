# SPDX-License-Identifier: Apache-2.0
"""A Galera cluster: MariaDB on several nodes, each of which can be written."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pymysql

from tests.servers.mariadb import KEEP_COMMITS, MariaDB
from tests.servers.place import Place
from tests.servers.process import Process, until

PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib*/galera-4/libgalera_smm.so")
PATIENCE = 90.0
"""Seconds until a node has the state of the others."""


def provider() -> str | None:
    """Return the path of Galera's library."""
    return next((path for place in PROVIDERS for path in glob.glob(place)), None)


class GaleraNode(MariaDB):
    """One node.

    :param others: the addresses of all nodes.
    """

    name = "Galera"
    programs = (*MariaDB.programs, "wsrep_sst_rsync", "rsync")
    account: ClassVar[str] = "mysql"  # a copy of root's files would be written as nobody

    def __init__(self, directory: Path, place: Place, others: Sequence[str]) -> None:
        self._first = False
        self._galera = [
            "--wsrep-on=ON",
            f"--wsrep-provider={provider()}",
            f"--wsrep-cluster-address=gcomm://{','.join(others)}",
            "--wsrep-cluster-name=holdfast",
            f"--wsrep-node-address={place.address}",
            f"--wsrep-node-name={place.address}",
            "--wsrep-sst-method=rsync",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            "--default-storage-engine=InnoDB",
            KEEP_COMMITS,
            "--max-connections=1000",
        ]
        super().__init__(directory, place=place)

    def bootstrap(self) -> None:
        """Start it as the first node of a new cluster."""
        self._first = True
        try:
            self.start()
        finally:
            self._first = False

    def status(self, name: str) -> str:
        """Return a status variable of Galera; empty while the node does not answer."""
        try:
            with pymysql.connect(
                host=self.place.address, port=self.port, user="root", connect_timeout=2
            ) as connection:
                cursor = connection.cursor()
                cursor.execute("SHOW STATUS LIKE %s", (name,))
                found = cursor.fetchone()
        except pymysql.MySQLError:
            return ""
        return str(found[1]) if found else ""

    def is_ready(self) -> bool:
        """Return whether the node takes statements."""
        return self.status("wsrep_ready") == "ON"

    def _run(self, log: Path) -> Process:
        new = ["--wsrep-new-cluster"] if self._first else []
        self._options = [*self._galera, *new]
        return super()._run(log)

    def _answers(self, process: Process) -> bool:
        return super()._answers(process) and self.is_ready()


class Galera:
    """The cluster; ``database()`` gives an empty database as the URL of one node."""

    def __init__(self, directory: Path, places: Sequence[Place]) -> None:
        addresses = [place.address for place in places]
        self.nodes = [
            GaleraNode(directory / f"node-{number}", place, addresses)
            for number, place in enumerate(places, 1)
        ]

    def start(self) -> None:
        """Start the first node, and then the others, which copy its state."""
        first, *others = self.nodes
        first.directory.parent.mkdir(parents=True, exist_ok=True)
        first.bootstrap()
        for node in others:  # one after the other: the first one copies its state to each
            node.start()
        self.wait_complete()

    def wait_complete(self) -> None:
        """Wait until every node sees all others."""
        wanted = str(len(self.nodes))
        until(
            lambda: all(node.status("wsrep_cluster_size") == wanted for node in self.nodes),
            PATIENCE,
            f"{wanted} nodes of Galera",
        )

    def database(self) -> str:
        """Return the URL of an empty database on the first node."""
        return self.nodes[0].database()

    def on_node(self, url: str, number: int) -> str:
        """Return the URL of the same database on another node."""
        first, other = self.nodes[0], self.nodes[number % len(self.nodes)]
        return url.replace(
            f"@{first.place.address}:{first.port}/", f"@{other.place.address}:{other.port}/"
        )

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.close()
