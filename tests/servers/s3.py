# SPDX-License-Identifier: Apache-2.0
"""A private store that speaks S3 and keeps its objects as files: s3rver, of npm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from tests.installation import installed
from tests.servers.process import Process
from tests.servers.server import Server, find

VERSION = "3.7.1"
KEY = "S3RVER"
_INSTALL_TIMEOUT = 120.0  # seconds; it comes from the package index
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


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
        return [] if installed(cls._place(), cls._install) else [f"s3rver@{VERSION}"]

    def _prepare(self) -> None:
        self.objects.mkdir()

    def _run(self, log: Path) -> Process:
        where = ["-d", str(self.objects), "-a", "127.0.0.1", "-p", str(self.port)]
        command = [find("node") or "node", str(self._script()), *where]
        return Process(command, log=log, cwd=self.directory)

    @classmethod
    def _install(cls) -> None:
        npm = find("npm") or "npm"
        command = [npm, "install", "--silent", "--prefix", str(cls._place()), f"s3rver@{VERSION}"]
        # node does not use the system's certificates, such as those of a proxy.
        trusted = {"NODE_EXTRA_CA_CERTS": _CERTIFICATES} if os.path.exists(_CERTIFICATES) else {}
        env = {**trusted, **os.environ}
        subprocess.run(command, check=True, timeout=_INSTALL_TIMEOUT, capture_output=True, env=env)

    @classmethod
    def _script(cls) -> Path:
        return cls._place() / "node_modules" / "s3rver" / "bin" / "s3rver.js"

    @staticmethod
    def _place() -> Path:
        return Path(sys.prefix) / "s3rver"
