# SPDX-License-Identifier: Apache-2.0
"""Cinder's drivers under test: their configuration, and the rows that they read themselves.

Such a driver finds its options in oslo.config's global object, and its service and its
volumes in Cinder's tables. Both are here for the run.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from oslo_config import cfg

from drivers.cinder import loading
from drivers.cinder.backup_drivers import backup_loading
from drivers.interface.backup import BackupDriver
from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from flows.errors import NotFound

from .stores import rows as stores

SECTION = "conformance"

_SCRATCH = tempfile.gettempdir()  # a test may have another one


def is_cinders(driver: type) -> bool:
    """Say whether a driver passes its calls on to one of Cinder's."""
    return hasattr(driver, "cinders")


def load(path: str) -> type:
    """Return a driver of ours around one of Cinder's."""
    _register()
    return backup_loading.load(path) if ".backup." in path else loading.load(path)


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Have modules imported that need Cinder's. :raises loading.Unsuitable: no Cinder."""
    _register()
    loading.prepare()
    with loading.native_threads():
        yield


def adapted(found: Any) -> Any:
    """Return a driver of ours around a class of Cinder's; anything else as it is."""
    for kind in (loading, backup_loading):
        if kind.is_cinders(found):
            _register()
            return kind.adapted(found)
    return found


@functools.cache
def _register() -> None:
    """Register the options that the worker shares with Cinder, before Cinder does."""
    from worker.conf import option_groups
    from worker.conf.option_groups import backend

    option_groups.register_all(cfg.CONF)
    for section in ("backend_defaults", SECTION):
        cfg.CONF.register_opts(backend.OPTS, group=section)


def configuration(driver: type[VolumeDriver], options: Mapping[str, str]) -> Any:
    """Return a backend's options, read from a file as the service reads them."""
    from worker.conf import backends

    place = _place()
    lines = [
        "[DEFAULT]",
        f"state_path = {place}",
        f"enabled_backends = {SECTION}",
        "[database]",
        f"connection = {_database()}",
        f"[{SECTION}]",
        f"volume_backend_name = {SECTION}",
        *(f"{name} = {value}" for name, value in options.items()),
    ]
    file = place / "holdfast.conf"
    file.write_text("\n".join(lines))
    cfg.CONF([], project="holdfast", default_config_files=[str(file)], default_config_dirs=[])
    return backends.BackendConfiguration(cfg.CONF, SECTION, driver.OPTS)


def store_configuration(options: Mapping[str, Any]) -> Any:
    """Return the options of a store, read from a file as the service reads them."""
    _register()
    place = _place()
    lines = [
        "[DEFAULT]",
        f"state_path = {place}",
        *(f"{name} = {value}" for name, value in options.items()),
        "[database]",
        f"connection = {_database()}",
    ]
    file = place / "holdfast-backup.conf"
    file.write_text("\n".join(lines))
    cfg.CONF([], project="holdfast", default_config_files=[str(file)], default_config_dirs=[])
    return SimpleNamespace(**options, conf=cfg.CONF)


class StoreRows(stores.Rows):
    """Keeps rows of backups where Cinder's drivers read and write them."""

    def __init__(self) -> None:
        super().__init__()
        from worker.db.database import Database
        from worker.db.records import Records

        self._records = Records(Database(_database()))
        self._written: dict[str, dict[str, Any]] = {}
        try:
            self._records.volumes.get(stores.VOLUME_ID)
        except NotFound:
            self._records.volumes.create(id=stores.VOLUME_ID, size=1, status="backing-up")

    def record(self, row: dict[str, Any]) -> Record:
        """Return a row as a driver is given it, which is in the database, too."""
        before, after = self._written.get(row["id"]), dict(row)
        with contextlib.suppress(ValueError):  # a column that no table takes
            if before is None:
                self._records.backups.create(**row)
            # A driver has written the others itself.
            elif columns := {k: v for k, v in after.items() if k not in before or before[k] != v}:
                self._records.backups.update(row["id"], **columns)
            self._written[row["id"]] = after
        return super().record(row)

    def restore(
        self, driver: BackupDriver, row: dict[str, Any], volume: Path, new: bool = False
    ) -> None:
        """Have a backup restored, in the status in which Cinder's drivers do not stop."""
        row["status"] = "restoring"
        super().restore(driver, row, volume, new)
        row["status"] = "available"


class Rows:
    """Keeps rows of the records that the suite passes to a driver."""

    def __init__(self) -> None:
        from worker.db.database import Database
        from worker.db.records import Records

        self._records = Records(Database(_database()))

    def made(self, record: Record) -> Record:
        """Insert a row; one that is there is left as it is.

        :return: the record; one without a volume type has that of the row then.
        """
        names = ("id", "size", "host", "status", "user_id", "project_id", "volume_id")
        columns = {name: record[name] for name in (*names, "volume_size") if name in record}
        if record.kind == "snapshot":
            volume = self._records.volumes.get(record.volume_id)
            owned = {name: volume[name] for name in ("volume_type_id", "user_id", "project_id")}
            self._records.snapshots.create(**{**columns, **owned})
            return record.replace(volume_type_id=volume.volume_type_id)
        row = self._records.volumes.create(**columns)
        if record.volume_type_id is not None:
            return record
        return record.replace(volume_type_id=row.volume_type_id, volume_type=row.volume_type)

    def removed(self, record: Record) -> None:
        """Forget a row, as the worker does after its object."""
        rows = self._records.volumes if record.kind == "volume" else self._records.snapshots
        with contextlib.suppress(NotFound):
            rows.destroy(record.id)

    def updated(self, record: Record, update: Mapping[str, Any] | None) -> None:
        """Write the columns that a driver returns."""
        rows = self._records.volumes if record.kind == "volume" else self._records.snapshots
        if update:
            rows.update(record.id, **update)


@functools.cache
def _place() -> Path:
    made = tempfile.mkdtemp(prefix="conformance-", dir=_SCRATCH)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


@functools.cache
def _database() -> str:
    from worker.db import sync
    from worker.db.database import Database

    url = f"sqlite:///{_place() / 'cinder.sqlite'}"
    sync.sync(Database(url))
    return url
