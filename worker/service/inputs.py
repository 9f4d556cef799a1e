# SPDX-License-Identifier: Apache-2.0
"""Values of one process that exist before its first part is built: inputs and names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from oslo_config import cfg

from flows.engine.flow_run import Observer
from worker.db.criteria import BackendRows
from worker.db.database import Database
from worker.service.fence import HostFence
from worker.service.startup.waits import Waits


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The values that exist before the first part is built.

    :param number: the number of this process among those of the service.
    :param heartbeat: called about every second while the service is alive, with the systems
        that it waits for.
    :param observer: called at every change of a task's state.
    :param stopping: set when the process stops; ends every wait.
    :param draining: set when an operator asks the process to leave its work to other hosts.
    """

    conf: cfg.ConfigOpts
    number: int = 0
    heartbeat: Callable[[str], None] = lambda _waits: None
    observer: Observer | None = None
    database: Database
    stopping: threading.Event = field(default_factory=threading.Event)
    draining: threading.Event = field(default_factory=threading.Event)
    waits: Waits = field(default_factory=Waits)
    fence: HostFence = field(default_factory=HostFence)

    def alive(self) -> None:
        """Show that the process lives, and the systems that it waits for."""
        self.heartbeat(self.waits.shown)

    @classmethod
    def from_conf(
        cls,
        conf: cfg.ConfigOpts,
        number: int,
        heartbeat: Callable[[str], None],
        observer: Observer | None,
        fence: HostFence | None = None,
    ) -> Inputs:
        """Return the inputs of a process that uses the configured database."""
        database = Database.from_conf(conf)
        return cls(
            conf=conf,
            number=number,
            heartbeat=heartbeat,
            observer=observer,
            database=database,
            fence=fence or HostFence(),
        )


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The names of a service and of this process.

    :param binary: the name in the services table, and the topic.
    :param host: the name on the bus and in the database.
    :param number: the number of this process among those of the service.
    :param cluster: ``cluster@backend`` of a volume service; None without a cluster.
    :param store_pool: the pool of backup services with one store; empty for a store of one host.
    """

    binary: str
    rpc_version: str
    host: str
    zone: str
    number: int
    processes: int
    cluster: str | None = None
    store_pool: str = ""

    @property
    def pool(self) -> str:
        """The slots whose processes adopt each other's operations."""
        return self.store_pool or self.address

    @property
    def backend_rows(self) -> BackendRows:
        """The names by which the rows of the backend are found."""
        return BackendRows(self.host, self.cluster)

    @property
    def address(self) -> str:
        """The name to which messages about a resource go: the cluster, or else the host."""
        return self.cluster or self.host

    @property
    def slot(self) -> str:
        """The name under which this process owns flows in the journal."""
        return f"{self.host}/{self.number}"

    @property
    def slots(self) -> Collection[str]:
        """The slots of all processes of the service."""
        return [f"{self.host}/{number}" for number in range(self.processes)]

    @property
    def first(self) -> bool:
        """Whether this process does the work that a service does once."""
        return self.number == 0
