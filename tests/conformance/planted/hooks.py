# SPDX-License-Identifier: Apache-2.0
"""Consumers of the small volume driver, and objects that it has not made."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from .correct.vault import lock


class Ticket:
    """A volume, as long as the ticket is there."""

    def __init__(self, info):
        self._ticket = Path(info["data"]["ticket"])
        self._mode = info["data"]["access_mode"]
        self._path()

    def _path(self):
        return Path(json.loads(self._ticket.read_text())["path"])

    def size(self):
        return self._path().stat().st_size

    def read(self, offset, length):
        with self._path().open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def write(self, offset, data):
        path = self._path()
        with lock(path.parents[1], path.name, fcntl.LOCK_SH), path.open("r+b") as file:
            file.seek(offset)
            file.write(data)


def foreign(options, size):
    """Make a file that is no volume."""
    path = Path(options["vault_path"]) / "volumes" / f"foreign-{size}"
    path.write_bytes(b"kept")
    os.truncate(path, size)
    return {"source-name": path.name}


class Pass:
    """A file behind the small export driver, as long as the pass and the gate are there."""

    def __init__(self, info):
        self._pass = Path(info["data"]["pass"])
        self._path()

    def _facts(self):
        return json.loads(self._pass.read_text())

    def _path(self):
        return Path(json.loads(Path(self._facts()["gate"]).read_text())["path"])

    def size(self):
        return self._path().stat().st_size

    def read(self, offset, length):
        with self._path().open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def write(self, offset, data):
        if self._facts()["mode"] != "rw":
            raise PermissionError("read-only")
        gate = Path(self._facts()["gate"])
        hold = gate.with_name(gate.name.removesuffix(".rw") + ".hold")
        with hold.open("ab") as held, self._path().open("r+b") as file:
            fcntl.flock(held, fcntl.LOCK_SH)
            file.seek(offset)
            file.write(data)
