# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.servers.place import LOOPBACK
from tests.servers.process import Process
from tests.servers.server import Server, find


class PostgreSQL(Server):
    """PostgreSQL; ``database()`` gives an empty one as an SQLAlchemy URL."""

    name = "PostgreSQL"
    programs = ("postgres", "initdb")

    def database(self) -> str:
        """Return the URL of an empty database, for this caller alone."""
        name = f"d{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg2://postgres@{self.place.address}:{self.port}/{name}"

    def execute(self, statement: str) -> None:
        """Run a statement as the administrator."""
        import psycopg2  # an extra: those who need no PostgreSQL do not need it

        connection = psycopg2.connect(
            host=self.place.address, port=self.port, user="postgres", dbname="postgres"
        )
        try:
            connection.autocommit = True
            connection.cursor().execute(statement)
        finally:
            connection.close()

    def _prepare(self) -> None:
        user = self._user()
        if user is not None:
            shutil.chown(self.directory, user)
        data = str(self.directory / "data")
        self._command("initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "-N")
        if self.place != LOOPBACK:
            with (self.directory / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")

    def _run(self, log: Path) -> Process:
        settings = {
            "listen_addresses": self.place.address,
            "unix_socket_directories": "",
            "fsync": "on" if self._durable else "off",
            "deadlock_timeout": "200ms",
            "max_connections": "500",
            # Files in its directory: a killed server leaves those in /dev/shm behind.
            "dynamic_shared_memory_type": "mmap",
        }
        return Process(
            [
                find("postgres") or "postgres",
                *("-D", str(self.directory / "data"), "-p", str(self.port)),
                *(f"--{key}={value}" for key, value in settings.items()),
            ],
            log=log,
            cwd=self.directory,
            user=self._user(),
            namespace=self.place.namespace,
        )

    def _answers(self, process: Process) -> bool:
        # The port is open before connections are accepted.
        return super()._answers(process) and "ready to accept" in process.tail(100)

    def stop(self) -> None:
        """Stop it in order, without waiting for clients; its data stay."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)
            self._process = None

    def close(self) -> None:
        """End it for good, with the segment of shared memory that a killed server leaves."""
        segment = self.segment()
        super().close()
        if segment is not None:
            subprocess.run(["ipcrm", "-m", str(segment)], check=False, stderr=subprocess.DEVNULL)

    def segment(self) -> int | None:
        """Return the id of its segment of System V's shared memory; None where it has none."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
            return int(lines[6].split()[1])
        return None

    def _user(self) -> str | None:
        # It refuses to run as root.
        return "postgres" if os.geteuid() == 0 else None
