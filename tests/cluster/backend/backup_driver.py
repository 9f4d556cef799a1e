# SPDX-License-Identifier: Apache-2.0
"""Backups in a directory that all hosts share, with a history of the driver's calls.

Each object that is written to the store, and each step of a copy, is an effect.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

from oslo_config import cfg

from drivers.backup.posix import PosixDriver
from drivers.backup.stores.object_store import ObjectSink, ObjectStore
from drivers.interface.records import Record
from tests.cluster.backend.history import EFFECT, Call, History
from tests.cluster.backend.volume_driver import request_id


class SharedBackupDriver(PosixDriver):
    """Backups as files in a directory of all hosts."""

    OPTS: ClassVar[list[cfg.Opt]] = [*PosixDriver.OPTS]

    def __init__(self, configuration: Any, **more: Any) -> None:
        self._history = History.from_environment()
        self._calls: dict[str, Call] = {}
        super().__init__(configuration, **more)

    def files_directory(self) -> str | None:
        """Name no directory: the hosts share one, which is there."""
        return None

    def backup(self, backup: Record, volume_file: Any, *args: Any, **more: Any) -> Any:
        """Write the backup, with a history of its objects."""
        with self._in_history("backup", backup.id) as call:
            return super().backup(backup, volume_file, *args, **_noting(call, more))

    def restore(self, backup: Record, volume_id: str, volume_file: Any, **more: Any) -> None:
        """Restore the backup into a volume."""
        with self._in_history("restore", volume_id, (backup.id,)) as call:
            super().restore(backup, volume_id, volume_file, **_noting(call, more))

    def delete_backup(self, backup: Record) -> None:
        """Delete the backup."""
        with self._in_history("delete_backup", backup.id):
            super().delete_backup(backup)

    def make_store(self) -> ObjectStore:
        """Return the directory, whose objects are effects of the calls that write them."""
        store = super().make_store()
        writing = store.writing

        @contextlib.contextmanager
        def noted(container: str, name: str) -> Iterator[ObjectSink]:
            with writing(container, name) as sink:
                yield sink
            for resource, call in list(self._calls.items()):
                if resource in name or resource in container:
                    call.note(EFFECT)

        store.writing = noted  # type: ignore[method-assign]
        return store

    @contextlib.contextmanager
    def _in_history(
        self, method: str, resource: str, reads: tuple[str, ...] = ()
    ) -> Iterator[Call]:
        with self._history.call(method, resource, reads, request_id()) as call:
            call.note(EFFECT)
            self._calls[resource] = call
            try:
                yield call
            finally:
                self._calls.pop(resource, None)


def _noting(call: Call, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a copy whose progress is an effect of a call."""
    pace = options.get("pace")
    if pace is None:
        return options

    def report(fraction: float) -> None:
        call.note(EFFECT)
        pace.progress(fraction)

    return {**options, "pace": dataclasses.replace(pace, progress=report)}
