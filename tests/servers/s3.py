# SPDX-License-Identifier: Apache-2.0
"""A private store that speaks S3 and keeps its objects as files: s3rver, of npm."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tests.installation import npm_package
from tests.servers.process import Process
from tests.servers.server import Server, find

VERSION = "3.7.1"
KEY = "S3RVER"


class S3(Server):
    """One store, on a port of the loopback device."""

    name: ClassVar[str] = "S3"
    programs: ClassVar[tuple[str, ...]] = ("node", "npm")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def objects(self) -> Path:
        """Where it keeps objects: one file for each, below its bucket."""
        return self.directory / "objects"

    @classmethod
    def missing(cls) -> list[str]:
        """Install it, once for this Python environment; return the packages that could not be."""
        if absent := super().missing():
            return absent
        return [] if npm_package("s3rver", VERSION) else [f"s3rver@{VERSION}"]

    def _prepare(self) -> None:
        self.objects.mkdir()

    def _run(self, log: Path) -> Process:
        where = ["-d", str(self.objects), "-a", "127.0.0.1", "-p", str(self.port)]
        program = npm_package("s3rver", VERSION)
        assert program is not None  # it was looked for
        command = [find("node") or "node", str(program / "bin" / "s3rver.js"), *where]
        return Process(command, log=log, cwd=self.directory)
