# SPDX-License-Identifier: Apache-2.0
"""A private etcd of one member, as a server of locks."""

from __future__ import annotations

import os
from pathlib import Path

from tests.servers.place import LOOPBACK, Place
from tests.servers.process import Process, free_port
from tests.servers.server import Server, find


class Etcd(Server):
    """etcd."""

    name = "etcd"
    programs = ("etcd",)

    def __init__(self, directory: Path, *, place: Place = LOOPBACK) -> None:
        super().__init__(directory, place=place)
        self._peers = free_port()

    @property
    def url(self) -> str:
        """The URL for tooz."""
        return f"etcd3+http://{self.place.address}:{self.port}?api_version=v3"

    def _prepare(self) -> None:
        """Nothing: etcd fills its directory."""

    def _run(self, log: Path) -> Process:
        client = f"http://{self.place.address}:{self.port}"
        peer = f"http://{self.place.address}:{self._peers}"
        settings = {
            "name": "one",
            "data-dir": str(self.directory / "data"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"one={peer}",
            "logger": "zap",
        }
        return Process(
            [find("etcd") or "etcd", *(f"--{key}={value}" for key, value in settings.items())],
            log=log,
            cwd=self.directory,
            env={"PATH": os.environ.get("PATH", ""), "ETCD_UNSUPPORTED_ARCH": "arm64"},
            namespace=self.place.namespace,
        )
