# SPDX-License-Identifier: Apache-2.0
"""A host of Holdfast and one of cinder-volume, in one cluster with one directory of volumes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from tests.cinder.api.user import User, wait
from tests.cinder.control import PLUGINS, Control
from tests.cinder.workers import ROOT
from tests.functional.service import render
from tests.servers import Process, Servers

NAME, BACKEND = "east", "shared"
CLUSTER = f"{NAME}@{BACKEND}"
OURS, THEIRS = "ours", "theirs"
HOSTS = {OURS: f"{OURS}@{BACKEND}", THEIRS: f"{THEIRS}@{BACKEND}"}
DOWN_AFTER = 20
"""Seconds without a heartbeat after which a host counts as down."""

_FURTHER = (
    f"service_down_time = {DOWN_AFTER}\n"
    "quota_volumes = 500\nquota_snapshots = 500\nquota_gigabytes = 5000\n"
)

_BEING_CREATED = (
    "UPDATE volumes SET status = 'creating' WHERE id = :volume",
    "INSERT INTO workers (created_at, updated_at, deleted, resource_type, resource_id, status,"
    " service_id, race_preventer) SELECT '2026-01-01', '2026-01-01', 0, 'Volume', :volume,"
    " 'creating', id, 0 FROM services WHERE host = :host AND deleted = 0",
)
"""Statements that leave a volume as a service does that dies while it creates it."""


class MixedCluster:
    """API and scheduler, and both hosts; both run the same driver of Cinder's.

    :param locks: the URL of the server of locks.
    """

    def __init__(self, servers: Servers, locks: str, directory: Path) -> None:
        stand_in: Any = SimpleNamespace(
            broker=servers.broker,
            mariadb=servers.mariadb,
            glance=SimpleNamespace(url="http://127.0.0.1:9", images=None),  # no volume has an image
        )
        self.control = Control(stand_in, directory)
        self.volumes = directory / "volumes"
        self.admin = User(self.control.url, "ad" * 16, "admin")
        driver = {
            "volume_driver": "reference_driver.ReferenceDriver",
            "volume_backend_name": BACKEND,
            "local_path": self.volumes,
        }
        self.control.write({BACKEND: driver})
        written = self.control.config.read_text()
        self.control.config.write_text(written.replace("[DEFAULT]\n", f"[DEFAULT]\n{_FURTHER}", 1))
        journal = servers.mariadb.database()
        self._files = {}
        for host in HOSTS:
            state = directory / host
            state.mkdir()
            sections: dict[str, dict[str, Any]] = {
                "DEFAULT": {"host": host, "cluster": NAME, "state_path": state},
                "coordination": {"backend_url": locks},
                "journal": {"connection": journal},
                "oslo_concurrency": {"lock_path": state / "locks"},
            }
            self._files[host] = directory / f"{host}.conf"
            self._files[host].write_text(render(sections))
        self._processes: dict[str, Process] = {}

    def start(self) -> None:
        """Start everything, and wait until both hosts are up."""
        self.control.start()
        for host in HOSTS:
            self.start_host(host)
        self.wait_up(*HOSTS)

    def start_host(self, host: str) -> None:
        """Start the service of a host."""
        if host == THEIRS:
            more = ("--config-file", str(self._files[host]))
            self._processes[host] = self.control.run("cinder-volume", *more)
            return
        argv = [sys.executable, "-m", "worker.cmd.volume"]
        for file in (self.control.config, self._files[host]):
            argv += ["--config-file", str(file)]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PLUGINS}"}
        log = self.control.directory / f"{host}.log"
        self._processes[host] = Process(argv, log=log, env=env, cwd=self.control.directory)

    def kill(self, host: str) -> None:
        """Kill the service of a host, with all its children."""
        self._processes.pop(host).kill()

    def wait_up(self, *hosts: str) -> None:
        """Wait until the API counts hosts as up, and the scheduler has a report."""
        wanted = {HOSTS[host] for host in hosts}

        def up() -> bool:
            for name, process in self._processes.items():
                assert process.returncode is None, f"{name} has ended:\n{process.tail()}"
            found = self.admin.api.services.list(binary="cinder-volume")
            alive = {row.host for row in found if row.state == "up"}
            return alive >= wanted and bool(self.admin.api.pools.list())

        wait(up, lambda: f"{wanted} are not up:\n{self.tail()}")

    def wait_down(self, host: str) -> None:
        """Wait until the API counts a host as down."""

        def down() -> bool:
            found = self.admin.api.services.list(host=HOSTS[host], binary="cinder-volume")
            return [row.state for row in found] == ["down"]

        wait(down, lambda: f"{host} is still up")

    def leave_creating(self, volume: Any, host: str) -> None:
        """Have a volume be one that a host was creating when it died."""
        engine = sa.create_engine(self.control.database)
        with engine.begin() as connection:
            name = {"host": HOSTS[host], "volume": volume.id}
            for statement in _BEING_CREATED:
                connection.execute(sa.text(statement), name)
        engine.dispose()

    def host_of(self, volume: Any) -> str:
        """Return the host in the row of a volume, without backend and pool."""
        shown = self.admin.api.volumes.get(volume.id)
        return str(getattr(shown, "os-vol-host-attr:host")).partition("@")[0]

    def files(self) -> list[str]:
        """Return the objects on the backend."""
        return sorted(path.name for path in self.volumes.iterdir())

    def tail(self) -> str:
        """Return the ends of the logs of both hosts."""
        return "\n".join(f"--- {name}\n{one.tail(60)}" for name, one in self._processes.items())

    def close(self) -> None:
        """Stop everything."""
        for host in list(self._processes):
            self.kill(host)
        self.control.close()
