# SPDX-License-Identifier: Apache-2.0
"""A private MariaDB."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pymysql

from tests.servers.place import LOOPBACK, Place
from tests.servers.process import Process
from tests.servers.server import Server, find

KEEP_COMMITS = "--innodb-flush-log-at-trx-commit=2"
"""Option with which a server that is killed, on a machine that goes on, keeps its commits."""


class MariaDB(Server):
    """MariaDB; ``database()`` gives an empty one as an SQLAlchemy URL.

    :param options: further options of the server.
    """

    name = "MariaDB"
    programs = ("mariadbd", "mariadb-install-db")
    account: ClassVar[str] = "root"
    """The account whose rights it takes, if we are root."""

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = False,
        place: Place = LOOPBACK,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, durable=durable, place=place)
        self._options = options

    def database(self) -> str:
        """Return the URL of an empty database, for this caller alone."""
        name = f"d{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"mysql+pymysql://root@{self.place.address}:{self.port}/{name}"

    def execute(self, statement: str) -> None:
        """Run a statement as the administrator."""
        address = self.place.address
        with pymysql.connect(host=address, port=self.port, user="root") as connection:
            connection.cursor().execute(statement)
            connection.commit()

    def _prepare(self) -> None:
        (self.directory / "tmp").mkdir()
        if os.geteuid() == 0:
            for path in (self.directory, self.directory / "tmp"):
                shutil.chown(path, self.account)
        self._command(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            # Each server that starts removes seemingly temporary files from its directory.
            f"--tmpdir={self.directory / 'tmp'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *self._rights(),
        )

    def _run(self, log: Path) -> Process:
        fast = [] if self._durable else ["--innodb-flush-log-at-trx-commit=0"]
        return Process(
            [
                find("mariadbd") or "mariadbd",
                "--no-defaults",
                f"--datadir={self.directory / 'data'}",
                f"--tmpdir={self.directory / 'tmp'}",
                f"--socket={self.directory / 'socket'}",
                f"--pid-file={self.directory / 'pid'}",
                f"--port={self.port}",
                f"--bind-address={self.place.address}",
                "--skip-name-resolve",
                # The administrator's rights are those of a local client.
                *([] if self.place == LOOPBACK else ["--skip-grant-tables"]),
                *fast,
                *self._options,
                *self._rights(),
            ],
            log=log,
            cwd=self.directory,
            namespace=self.place.namespace,
        )

    def _rights(self) -> list[str]:
        # It refuses to run as root without this option.
        return [f"--user={self.account}"] if os.geteuid() == 0 else []
