# SPDX-License-Identifier: Apache-2.0
"""Rows of backups, the metadata of their volume, and volumes with data to back up."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

from drivers.interface.backup import BackupDriver
from drivers.interface.records import Record

MIB = 1024**2

VOLUME_ID = "11111111-1111-1111-1111-111111111111"


class Metadata:
    """The worker's part of a volume's metadata: returns one text, and records restored metadata."""

    def __init__(self, text: str = '{"version": 2}') -> None:
        self.text = text
        self.put_back: list[tuple[str, str]] = []

    def get(self, volume_id: str) -> str:
        return self.text

    def check(self, volume_id: str, json_metadata: str) -> None:
        """Refuse nothing."""

    def put(self, volume_id: str, json_metadata: str) -> None:
        self.put_back.append((volume_id, json_metadata))


class Rows:
    """The rows of backups of one volume, by id."""

    def __init__(self) -> None:
        self.all: dict[str, dict[str, Any]] = {}

    def new(self, parent: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        """Return a row as the API makes it."""
        row = {
            "id": str(uuid.uuid4()),
            "volume_id": VOLUME_ID,
            "user_id": "u" * 32,
            "project_id": "p" * 32,
            "size": 1,
            "parent_id": parent and parent["id"],
            "container": None,
            "service": None,
            "service_metadata": None,
            "availability_zone": "nova",
            "display_name": "nächtlich",
            "display_description": 'what is in it: "sha256s": [',
            "object_count": 0,
            "status": "creating",
            "snapshot_id": None,
            **changes,
        }
        self.all[row["id"]] = row
        return row

    def record(self, row: dict[str, Any]) -> Record:
        """Return a row as a driver is given it."""
        parent = self.all.get(row["parent_id"] or "")
        return Record("backup", row, {"parent": lambda: parent and self.record(parent)})

    def back_up(self, driver: BackupDriver, row: dict[str, Any], volume: Path, **more: Any) -> None:
        """Back up a volume, and store the columns that the driver returns."""
        row.update(driver.place(self.record(row)) or {})
        with open(volume, "rb") as file:
            row.update(driver.backup(self.record(row), file, **more) or {})
        row["status"] = "available"

    def restore(
        self, driver: BackupDriver, row: dict[str, Any], volume: Path, new: bool = False
    ) -> None:
        """Have a backup restored to a file that is there."""
        with open(volume, "r+b") as file:
            driver.restore(self.record(row), VOLUME_ID, file, new)


def scribble(path: Path, dice: random.Random, size: int, writes: int = 6) -> None:
    """Write text, noise and zeros to places of a volume, which is made sparse if it is not there.

    :param size: bytes of the volume.
    """
    with open(path, "r+b" if path.exists() else "w+b") as file:
        file.truncate(size)
        for _ in range(writes):
            length = dice.randrange(1, max(2, size // 8))
            begin = dice.randrange(0, size - length + 1)
            file.seek(begin)
            kind = dice.choice(("noise", "text", "zeros"))
            if kind == "noise":
                file.write(dice.randbytes(length))
            elif kind == "text":
                file.write((b"line %d of a text that repeats\n" % begin * (length // 16))[:length])
            else:
                file.write(bytes(length))
