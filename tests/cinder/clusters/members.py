# SPDX-License-Identifier: Apache-2.0
"""Hosts of one cluster below Cinder's API and scheduler: of Holdfast, or of cinder-volume."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.cinder.api.user import User, wait
from tests.cinder.control import PLUGINS, Control
from tests.cinder.workers import ROOT
from tests.functional.service import render
from tests.servers import Process, Servers

NAME, BACKEND = "east", "shared"
CLUSTER = f"{NAME}@{BACKEND}"
DOWN_AFTER = 20
"""Seconds without a heartbeat after which a host counts as down."""

_FURTHER = (
    f"service_down_time = {DOWN_AFTER}\n"
    "quota_volumes = 500\nquota_snapshots = 500\nquota_gigabytes = 5000\n"
)


def address(host: str) -> str:
    """Return ``host@backend``."""
    return f"{host}@{BACKEND}"


class Members:
    """API and scheduler, and the hosts of a cluster.

    :param locks: the URL of the server of locks.
    :param backend: options of the backend, the same on all hosts.
    :param own: for each host, its own options of the backend.
    :param theirs: the hosts that run cinder-volume.
    """

    def __init__(
        self,
        servers: Servers,
        locks: str,
        directory: Path,
        backend: Mapping[str, Any],
        own: Mapping[str, Mapping[str, Any]],
        theirs: tuple[str, ...] = (),
    ) -> None:
        stand_in: Any = SimpleNamespace(
            broker=servers.broker,
            mariadb=servers.mariadb,
            glance=SimpleNamespace(url="http://127.0.0.1:9", images=None),  # no volume has an image
        )
        self.control = Control(stand_in, directory)
        self.admin = User(self.control.url, "ad" * 16, "admin")
        self.control.write({BACKEND: {"volume_backend_name": BACKEND, **backend}})
        written = self.control.config.read_text()
        self.control.config.write_text(written.replace("[DEFAULT]\n", f"[DEFAULT]\n{_FURTHER}", 1))
        journal = servers.mariadb.database()
        self._theirs = theirs
        self._files = {}
        for host, options in own.items():
            state = directory / host
            state.mkdir()
            sections: dict[str, Mapping[str, Any]] = {
                "DEFAULT": {"host": host, "cluster": NAME, "state_path": state},
                "coordination": {"backend_url": locks},
                "journal": {"connection": journal},
                "oslo_concurrency": {"lock_path": state / "locks"},
                BACKEND: options,
            }
            self._files[host] = directory / f"{host}.conf"
            self._files[host].write_text(render(sections))
        self._processes: dict[str, Process] = {}

    def start(self) -> None:
        """Start everything, and wait until all hosts are up."""
        self.control.start()
        for host in self._files:
            self.start_host(host)
        self.wait_up(*self._files)

    def start_host(self, host: str) -> None:
        """Start the service of a host."""
        if host in self._theirs:
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

    def wait_up(self, *hosts: str, disabled: bool = False) -> None:
        """Wait until the API counts hosts as up, and the scheduler has a report.

        :param disabled: whether the cluster is, so that the scheduler lists no pool.
        """
        wanted = {address(host) for host in hosts}

        def up() -> bool:
            for name, process in self._processes.items():
                assert process.returncode is None, f"{name} has ended:\n{process.tail()}"
            found = self.services()
            alive = {row.host for row in found if row.state == "up"}
            return alive >= wanted and (disabled or bool(self.admin.api.pools.list()))

        wait(up, lambda: f"{wanted} are not up:\n{self.tail()}")

    def wait_down(self, host: str) -> None:
        """Wait until the API counts a host as down."""

        def down() -> bool:
            return [row.state for row in self.services() if row.host == address(host)] == ["down"]

        wait(down, lambda: f"{host} is still up")

    def services(self) -> list[Any]:
        """Return the services of the hosts as the API lists them."""
        return list(self.admin.api.services.list(binary="cinder-volume"))

    def shown(self) -> Any:
        """Return the cluster as the API shows it."""
        return self.admin.api.clusters.show(CLUSTER, "cinder-volume")

    def tail(self) -> str:
        """Return the ends of the logs of all hosts."""
        return "\n".join(f"--- {name}\n{one.tail(60)}" for name, one in self._processes.items())

    def close(self) -> None:
        """Stop everything."""
        for host in list(self._processes):
            self.kill(host)
        self.control.close()
