# SPDX-License-Identifier: Apache-2.0
"""A private Redis, as a server of locks."""

from __future__ import annotations

from pathlib import Path

from tests.servers.process import Process
from tests.servers.server import Server, find


class Redis(Server):
    """Redis, which keeps its keys over a restart."""

    name = "Redis"
    programs = ("redis-server",)

    @property
    def url(self) -> str:
        """The URL for tooz."""
        return f"redis://{self.place.address}:{self.port}"

    def _prepare(self) -> None:
        """Nothing: Redis fills its directory."""

    def _run(self, log: Path) -> Process:
        settings = {
            "bind": self.place.address,
            "port": str(self.port),
            "dir": str(self.directory),
            "save": "",
            # A lock that was granted is still held after a restart.
            "appendonly": "yes",
            "appendfsync": "always" if self._durable else "no",
            "protected-mode": "no",
        }
        return Process(
            [
                find("redis-server") or "redis-server",
                *(part for key, value in settings.items() for part in (f"--{key}", value)),
            ],
            log=log,
            cwd=self.directory,
            namespace=self.place.namespace,
        )
