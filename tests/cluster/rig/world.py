# SPDX-License-Identifier: Apache-2.0
"""Hosts of one cluster, the backend that they share, and its clients."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.backend import volume_driver
from tests.cluster.load.cloud import BACKEND, ClusterCloud
from tests.cluster.rig.host import Host
from tests.cluster.rig.setting import Setting

DRIVER = "tests.cluster.backend.volume_driver.SharedDriver"
BACKUP_DRIVER = "tests.cluster.backend.backup_driver.SharedBackupDriver"
CLUSTER = "c1"
TEND = 0.5
"""Seconds between two looks at services that ended."""


@dataclass(frozen=True)
class Shape:
    """The hosts of a run.

    :param hosts: how many.
    :param cluster: the name of their cluster, empty for hosts without one.
    :param lease: options of [journal] that set the times of a lease.
    """

    hosts: int = 2
    cluster: str = CLUSTER
    backups: bool = True
    forked: bool = True
    processes: int = 1
    lease: Mapping[str, Any] = field(default_factory=dict)
    backend: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


class World:
    """Some hosts on running servers: ``start`` and ``close`` it, and strike it meanwhile.

    :param setting: the servers, which other worlds may use as well.
    :param name: of the world, for a prefix of its hosts and its cluster where there are several.
    """

    def __init__(self, setting: Setting, shape: Shape, name: str = "") -> None:
        self.shape = shape
        self.setting = setting
        self.name = name
        self._prefix = f"{name}-" if name else ""
        self.directory: Path = setting.directory / (name or "world")
        self.shared = self.directory / "shared"
        self.history = self.shared / "history"
        self.hosts: dict[str, Host] = {}
        self._cloud: ClusterCloud | None = None
        self._ending = threading.Event()
        self._tender = threading.Thread(target=self._tend, daemon=True)

    @property
    def cloud(self) -> ClusterCloud:
        """The clients of the hosts."""
        assert self._cloud is not None, "the world was not started"
        return self._cloud

    @property
    def targets(self) -> dict[str, list[str]]:
        """The addresses from which a host can be cut, by kind."""
        return {**self.setting.targets, "hosts": [h.namespace.place.address for h in self]}

    def __iter__(self) -> Any:
        return iter(self.hosts.values())

    def start(self) -> None:
        """Make the tables, and start all hosts."""
        volume_driver.prepare(self.shared)
        bus, rows = self.setting.broker.vhost(), self.setting.database.database()
        journal = self.setting.database.database()
        quorum = self.setting.kinds.broker == "quorum"
        names = [f"{self._prefix}h{number}" for number in range(1, self.shape.hosts + 1)]
        self._cloud = ClusterCloud(bus, rows, journal, names, self._cluster, quorum=quorum)
        for number, name in enumerate(names, 1):
            self.hosts[name] = self._host(name, number, bus, rows, journal)
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(Host.launch, self))
        for host in self:
            host.wait_ready()
        self._tender.start()

    def close(self) -> None:
        """End everything."""
        self._ending.set()
        if self._tender.is_alive():
            self._tender.join()
        for host in self:
            host.close()
        if self._cloud is not None:
            self._cloud.close()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tail(self, lines: int = 40) -> str:
        """Return the ends of all logs of hosts."""
        return "\n".join(host.tail(lines) for host in self)

    @property
    def _cluster(self) -> str:
        return f"{self._prefix}{self.shape.cluster}" if self.shape.cluster else ""

    def _tend(self) -> None:
        while not self._ending.wait(TEND):
            for host in self:
                host.tend()

    def _host(self, name: str, number: int, bus: str, rows: str, journal: str) -> Host:
        shape = self.shape
        on_node = getattr(self.setting.database, "on_node", None)
        if on_node is not None:  # each host writes another node
            journal = on_node(journal, number)
        quorum = self.setting.kinds.broker == "quorum"
        sections: dict[str, dict[str, Any]] = {
            "DEFAULT": {
                "report_interval": 2,
                "rpc_response_timeout": 20,
                "backup_driver": BACKUP_DRIVER,
                "backup_posix_path": self.shared / "backups",
                "backup_file_size": 32768 * 32,
                "backup_bandwidth_limit": 2,
                "backup_transfers": 1,
                **({"cluster": self._cluster} if self._cluster else {}),
                **shape.options,
            },
            "journal": {"connection": journal, **shape.lease},
            "coordination": {"backend_url": self.setting.locks.url},
            "oslo_messaging_rabbit": {
                "heartbeat_timeout_threshold": 10,
                "rabbit_retry_interval": 1,
                "rabbit_interval_max": 2,
                "kombu_reconnect_delay": 0.2,
                **({"rabbit_quorum_queue": "true"} if quorum else {"amqp_durable_queues": "true"}),
            },
        }
        backend = {
            "volume_driver": DRIVER,
            "volume_backend_name": BACKEND,
            "local_path": self.shared / "volumes",
            "local_path_shared": "true",
            "processes": shape.processes,
            **shape.backend,
        }
        return Host(
            name,
            self.setting.network.namespace(name),
            self.directory / "hosts" / name,
            sections,
            self.history,
            bus=bus,
            database=rows,
            backends={BACKEND: backend},
            backups=shape.backups,
            forked=shape.forked,
        )
