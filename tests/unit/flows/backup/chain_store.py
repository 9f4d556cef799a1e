# SPDX-License-Identifier: Apache-2.0
"""An installation with chains of backups, whose data is compared after each change."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.interface.records import Record
from flows.backup import delete_from_chain
from flows.context import BackupContext
from flows.engine import flow_run
from tests.backups import BLOCK, posix, scribble
from tests.unit.flows.world.doubles import Noted
from tests.unit.flows.world.installation import Installation

SIZE = 40 * BLOCK


class Store(Installation):
    """An installation with backups in a directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.root = directory
        self.driver = posix(directory, backup_file_size=8 * BLOCK)
        self.volume_id = super().volume("available")
        self.data: dict[str, bytes] = {}
        self.dice = random.Random(5)
        self.during: Callable[[], Any] = lambda: None

    def context(self) -> BackupContext:  # type: ignore[override]
        store = self

        class Driver:
            """The driver; another operation may come in between."""

            def __getattr__(self, name: str) -> Any:
                return getattr(store.driver, name)

            def rewrite(self, *args: Any, **named: Any) -> Any:
                store.during()
                return store.driver.rewrite(*args, **named)

        found = super().context()
        backend: Any = found.backend
        backend.require_driver = Driver
        backend.driver_for = lambda _request, _backup: Driver()
        messages: Any = Noted()
        return dataclasses.replace(found, messages=messages)

    def make(self, parent: str | None = None) -> str:
        """Change the volume and back it up."""
        volume = self.root / "volume"
        scribble(volume, self.dice, SIZE, writes=3)
        made = self.backup("creating", parent_id=parent, volume_id=self.volume_id)
        self.records.backups.update(made, **(self.driver.place(self.found(made)) or {}))
        with open(volume, "rb") as file:
            update = self.driver.backup(self.found(made), file) or {}
        self.records.backups.complete(made, when=("creating",), **update)
        self.data[made] = volume.read_bytes()
        return made

    def found(self, backup: str) -> Record:
        found = self.records.backups.find(backup)
        assert found is not None
        return found

    def restored(self, backup: str) -> bytes:
        target = self.root / "target"
        target.write_bytes(bytes(SIZE))
        with open(target, "r+b") as file:
            self.driver.restore(self.found(backup), "v", file)
        return target.read_bytes()

    def places(self, backup: str) -> set[str]:
        """Return the prefixes under which a backup is stored."""
        names = (self.root / "store").rglob(f"*_backup_{backup}*")
        return {name.name.partition(backup)[0] + backup for name in names}

    def require_intact(self, *backups: str) -> None:
        for one in backups:
            assert self.restored(one) == self.data[one]
            self.driver.verify(self.found(one))
            assert self.places(one) == {self.found(one).service_metadata}

    def counts(self, *backups: str) -> list[int]:
        return [self.found(one).num_dependent_backups for one in backups]


def deleted(store: Store, backup: str) -> flow_run.Outcome:
    return store.run(delete_from_chain.flow, backup_id=backup)
