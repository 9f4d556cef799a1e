# SPDX-License-Identifier: Apache-2.0
"""Hosts that share a journal on a database server, a bus and a directory of volumes."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oslo_messaging
from oslo_config import cfg

from drivers.interface.records import Record
from tests.faults.processes.gated import GATE
from tests.functional.cloud import PROJECT, REQUEST, USER, encoded, with_tables
from tests.functional.service import Service
from tests.functional.slots.pooled import POOL
from tests.servers import until
from tests.servers.forked import command
from worker.db.records import Records
from worker.journal.journal import Journal
from worker.journal.slots.slot_rows import Slot

DRIVER = "tests.faults.processes.gated.GatedDriver"
BACKEND = "b1"
TIMES = {
    "slot_ttl": 4.0,
    "slot_renewal": 0.5,
    "slot_kill_after": 2.5,
    "slot_takeover_margin": 0.5,
}


class Hosts:
    """Hosts h1, h2, … of one pool.

    :param journal: URL of the journal's database.
    """

    def __init__(
        self,
        make_service: Callable[..., Service],
        bus: str,
        journal: str,
        directory: Path,
        times: dict[str, float] | None = None,
    ) -> None:
        self._make = make_service
        self._bus = bus
        self._times = times or TIMES
        self._directory = directory
        self._database = f"sqlite:///{directory / 'cinder.sqlite'}"
        self._journal_url = journal
        self.records = Records(with_tables(self._database))
        self.journal = Journal(journal)
        self._transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=bus)
        self.services: dict[str, Service] = {}
        (directory / "backend").mkdir()

    def host(self, name: str, **sections: Any) -> Service:
        """Return the service of a host, not started yet."""
        backend = {
            "volume_driver": DRIVER,
            "local_path": str(self._directory / "backend" / "volumes"),
            "volume_backend_name": BACKEND,
        }
        service = self._make(
            bus=self._bus,
            database=self._database,
            backends={BACKEND: backend},
            module="tests.functional.slots.pooled",
            sections={
                "journal": {"connection": self._journal_url, **self._times},
                "DEFAULT": {"host": name, **sections},
            },
        )
        self.services[name] = service
        return service

    def start(self, *names: str, **options: Any) -> list[Service]:
        """Start hosts, and wait until each one renews its lease.

        :param options: of section [DEFAULT].
        """
        found = [self.host(name, **options) for name in names]
        for one in found:
            one.launch()
        for one in found:
            one.wait_for_notice("READY=1")
        if len(names) > 1:
            self.wait_armed(*names)
        return found

    def wait_armed(self, *names: str) -> None:
        """Wait until the hosts may adopt each other's operations."""
        until(lambda: all(self.slot(name).armed for name in names), 30, "armed leases")

    def slot(self, name: str) -> Slot:
        """Return the slot of a host."""
        assert self.journal.slots.table is not None
        found = self.journal.slots.table.find(f"{name}@{BACKEND}/0")
        assert found is not None
        return found

    def cast(self, name: str, method: str, **args: Any) -> None:
        """Send a cast to a host."""
        target = oslo_messaging.Target(
            exchange="openstack",
            topic=f"cinder-volume.{name}@{BACKEND}",
            server=name,
            version="3.0",
        )
        client = oslo_messaging.get_rpc_client(self._transport, target, timeout=20)
        client.cast(dict(REQUEST), method, **encoded(args))

    def volume(self, name: str) -> Record:
        """Make a volume by way of a host."""
        values = {"size": 1, "host": f"{name}@{BACKEND}#{BACKEND}", "status": "creating"}
        values["cluster_name"] = POOL
        row = self.records.volumes.create(**values, user_id=USER, project_id=PROJECT)
        self.cast(name, "create_volume", request_spec={"volume_id": row.id}, volume=row)
        return self.wait_status(row, "available")

    def extend(self, name: str, volume: Record) -> None:
        """Begin an extension that does not end before :meth:`open_gate`."""
        self.records.volumes.update(volume.id, status="extending")
        self.cast(name, "extend_volume", volume=volume, new_size=2, reservations=[])
        self.wait_accepted(volume)

    def volume_inside(self, name: str) -> Record:
        """Make a volume, and wait until a host is inside the driver call of its extension."""
        volume = self.volume(name)
        self.extend(name, volume)
        self.wait_inside(name)
        return volume

    def wait_accepted(self, volume: Record) -> None:
        """Wait until the extension of a volume is in the journal."""

        def is_accepted() -> bool:
            entries = self.journal.entries(among=["RUNNING", "PENDING"])
            return any(volume.id in one.resource for one in entries)

        until(is_accepted, 30, "an extension in the journal")

    def wait_inside(self, name: str) -> None:
        """Wait until a host is inside an extension."""
        self.services[name].wait_for_log(r"GatedDriver\.extend_volume\(.*begins", 30)

    def wait_status(self, volume: Record, status: str) -> Record:
        """Wait for the status of a volume."""

        def current() -> str:
            return str(self.records.volumes.get(volume.id).status)

        until(lambda: current() == status, 60, f"status {status}")
        return self.records.volumes.get(volume.id)

    def open_gate(self) -> None:
        """Let extensions end."""
        (self._directory / "backend" / GATE).touch()

    def kill(self, name: str) -> float:
        """Kill a host and return the time."""
        process = self.services[name].process
        assert process is not None
        process.send(signal.SIGKILL)
        return time.monotonic()

    def freeze(self, name: str) -> None:
        """Stop a process outside its transactions: a file that it had locked would stay so."""
        process = self.services[name].process
        assert process is not None
        database = sqlite3.connect(self._directory / "cinder.sqlite", isolation_level=None)
        database.execute("PRAGMA busy_timeout = 0")

        def is_unlocked() -> bool:
            process.send(signal.SIGSTOP)
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.send(signal.SIGCONT)
                return False
            database.execute("ROLLBACK")
            return True

        until(is_unlocked, 30, "a moment outside a transaction")
        database.close()

    def command(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``holdfast`` with the configuration of a host."""
        return command("worker.cli.main", "--config-file", str(self.services[name].config), *words)

    def close(self) -> None:
        """Close the connections."""
        self.journal.close()
        self._transport.cleanup()
