# SPDX-License-Identifier: Apache-2.0
"""A private Redis, as a server of locks."""

from __future__ import annotations

from pathlib import Path

from tests.servers import Process, Server, find


class Redis(Server):
    """Redis without a file."""

    name = "Redis"
    programs = ("redis-server",)

    @property
    def url(self) -> str:
        """The URL for tooz."""
        return f"redis://127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        """Nothing: it keeps no file."""

    def _run(self, log: Path) -> Process:
        program = find("redis-server") or "redis-server"
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        return Process([program, *options], log=log, cwd=self.directory)
