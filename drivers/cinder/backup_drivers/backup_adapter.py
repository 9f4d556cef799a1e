# SPDX-License-Identifier: Apache-2.0
"""Adapt a backup driver of Cinder's to our interface.

Each call gets an instance of its own, as in cinder-backup, with the context of the request, and
Cinder's own object of the backup, which the driver may save. Cinder's drivers cannot resume: an
interrupted backup is deleted and made again, an interrupted restore is written again.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from cinder import exception

from drivers.cinder import eventlet_stub, lazy_objects, runtime
from drivers.cinder.adapter import takes
from drivers.cinder.backup_drivers import noted_progress
from drivers.cinder.backup_drivers.attempts import Attempts
from drivers.cinder.backup_drivers.paced_file import PacedFile
from drivers.cinder.error_translation import translated
from drivers.cinder.translation import cinders, context
from drivers.interface.backup import BackupDriver, Extents
from drivers.interface.errors import BackupDriverException
from drivers.interface.optional import Update
from drivers.interface.pace import Pace
from drivers.interface.records import Record

LOG = logging.getLogger(__name__)

LIMITS = (
    "Cinder's drivers of backups cannot resume: a backup that a restart interrupts is deleted and "
    "made again from its begin, a restore is written again from its begin; other hosts, holdfast "
    "backup verify and the list of stored backups of the audit do not reach its backups"
)

_COLUMNS = ("container", "service_metadata", "object_count", "parent_id")
"""Columns that drivers save on the object of a backup."""

_THREADS = 60
"""Calls that eventlet would run on native threads at once, Cinder's default for backups."""

_CANCELLED = 10.0
"""Seconds in which the worker notices the status that has ended a restore."""


class CinderBackupDriver(BackupDriver):
    """Passes each call on to a backup driver of Cinder's.

    :ivar cinders: its class.
    """

    cinders: ClassVar[Any]

    def __init__(self, configuration: Any, *, metadata: Any = None, **_: Any) -> None:
        super().__init__(configuration, metadata=metadata)
        self._attempts = Attempts(Path(configuration.backup_work_path))
        self._request: Any = None

    @classmethod
    def limits(cls, configuration: Any) -> str | None:
        """Say that nothing resumes inside of the driver."""
        return LIMITS

    def for_request(self, request: Any, backup: Record) -> CinderBackupDriver:
        """Return an adapter whose instances have the context of the request."""
        made = copy.copy(self)
        made._request = request
        return made

    def check_for_setup_error(self) -> None:
        """Make an instance, and ask it."""
        self._attempts.prepare()
        made = self._made()
        with _translated():
            made.check_for_setup_error()
            self.support_force_delete = bool(made.support_force_delete)

    def backup(
        self,
        backup: Record,
        volume_file: Any,
        backup_metadata: bool = False,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
        changed: Extents | None = None,
    ) -> Update:
        """Remove the remains of an interrupted attempt, and call the driver's method."""
        made, given = self._made(), self._given(backup)
        if self._attempts.was_interrupted(backup.id) or given.service_metadata:
            self._clear(made, given)
        with (
            self._attempts.attempt(backup.id),
            noted_progress.shown(backup.id, pace),
            _Paced(volume_file, pace) as file,
            _translated(),
        ):
            answer = made.backup(given, file)
        return _update(backup, given, answer)

    def restore(
        self,
        backup: Record,
        volume_id: str,
        volume_file: Any,
        volume_is_new: bool = False,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
    ) -> None:
        """Call the driver's method; only those of newer releases know of new volumes."""
        made, given = self._made(), self._given(backup)
        more = (bool(volume_is_new),) if takes(made.restore, "volume_is_new") else ()
        with _Paced(volume_file, pace) as file, _translated():
            try:
                made.restore(given, volume_id, file, *more)
            except exception.BackupRestoreCancel:
                _wait_for_end(file)
                raise

    def delete_backup(self, backup: Record) -> None:
        """Call the driver's method."""
        made, given = self._made(), self._given(backup)
        with _translated():
            made.delete_backup(given)
        self._attempts.forget(backup.id)

    def export_record(self, backup: Record) -> Mapping[str, Any]:
        """Call the driver's method."""
        made = self._made()
        with _translated():
            return dict(made.export_record(self._given(backup)) or {})

    def import_record(self, backup: Record, driver_info: Mapping[str, Any]) -> None:
        """Call the driver's method, with the columns that the row is going to have.

        Drivers take these for paths and names without a check.
        """
        for name in ("id", "container", "service_metadata"):
            _require_inside(backup, name)
        made = self._made()
        with _translated():
            made.import_record(cinders(backup, self._request), dict(driver_info))

    def _made(self) -> Any:
        """Return a new instance of the driver."""
        runtime.begin()
        noted_progress.replace_notifications()
        eventlet_stub.NATIVE.resize(_THREADS)
        with _translated():
            made = self.cinders(context(self._request))
        if self.metadata is not None:
            made.backup_meta_api = _Metadata(self.metadata)
        return made

    def _given(self, backup: Record) -> Any:
        """Return the object of a backup: its row as it is now, which the driver may have saved."""
        with _translated():
            try:
                rights = context(self._request).elevated()
                return lazy_objects.backup_of_row(rights, backup.id)
            except exception.BackupNotFound:
                return cinders(backup, self._request)

    def _clear(self, made: Any, given: Any) -> None:
        """Remove the remains of an interrupted attempt."""
        LOG.info("backup %s was interrupted: its remains are deleted, it is made again", given.id)
        with _translated():
            made.delete_backup(given)
            given.service_metadata, given.object_count = None, 0
            given.save()


class _Metadata:
    """The worker's metadata of volumes, in the place of Cinder's."""

    def __init__(self, metadata: Any) -> None:
        self.get, self.put = metadata.get, metadata.put


class _Paced:
    """The file that a driver is given; a directory is given as it is."""

    def __init__(self, volume_file: Any, pace: Pace) -> None:
        self._file: Any = volume_file
        if not isinstance(volume_file, str):
            self._file = PacedFile(volume_file, pace)

    def __enter__(self) -> Any:
        return self._file

    def __exit__(self, *_: Any) -> None:
        """Raise the end that came from outside, whatever the driver has made of it."""
        ending = getattr(self._file, "ending", None)
        if ending is not None:
            raise ending


def adapted(wrapped: Any) -> type[CinderBackupDriver]:
    """Return a driver of ours around a class of Cinder's."""
    about = {
        "cinders": wrapped,
        "__module__": f"{wrapped.__module__} of Cinder, adapted",
        "__doc__": wrapped.__doc__,
    }
    return type(wrapped.__name__, (CinderBackupDriver,), about)


def _translated() -> Any:
    return translated(otherwise=BackupDriverException)


def _update(backup: Record, given: Any, answer: Any) -> Update:
    """Return the columns to write: those that the driver returned, and those that it set."""
    if answer and not isinstance(answer, Mapping):
        return answer  # type: ignore[no-any-return]  # the worker reports the error
    found = {name: given[name] for name in _COLUMNS if given[name] != backup.get(name)}
    returned = {name: value for name, value in (answer or {}).items() if name in given.fields}
    if unknown := sorted(str(name) for name in set(answer or {}) - set(returned)):
        LOG.debug("backup %s: no columns: %s", backup.id, ", ".join(unknown))
    return {**found, **returned} or None


def _require_inside(backup: Record, name: str) -> None:
    """:raises BackupDriverException: a column, taken for a path, leads out of a store."""
    text = str(backup.get(name) or "")
    if text.startswith("/") or ".." in text.split("/") or "\0" in text:
        raise BackupDriverException(f"the {name} {text!r:.80} of a record leads out of the store")


def _wait_for_end(file: Any) -> None:
    """Wait until the worker ends a restore that the driver has found to be cancelled."""
    until = time.monotonic() + _CANCELLED
    while isinstance(file, PacedFile) and time.monotonic() < until:
        file.advance()
        time.sleep(0.1)
