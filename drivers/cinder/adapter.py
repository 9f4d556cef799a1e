# SPDX-License-Identifier: Apache-2.0
"""Adapt a Cinder driver to our volume interface: the methods that every one of them has.

Cinder's driver is made by ``do_setup``, since it looks for its service and for its
volumes in the database as it is made. It gets the arguments that cinder-volume passes: a
``Configuration`` over its section of the same files, real objects, a real context.
Its errors and return values are translated into those of our contract.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, cast

from cinder import exception, objects, utils
from cinder.volume import configuration as cinder_configuration

from drivers.cinder import interrupted, manager_options, runtime
from drivers.cinder.error_translation import translated
from drivers.cinder.translation import changes, cinders, context
from drivers.compat.cinder import context_of
from drivers.interface.errors import DriverError, VolumeDriverException, VolumeIsBusy
from drivers.interface.records import Record
from drivers.interface.volume import Update, VolumeDriver

LOG = logging.getLogger(__name__)


class CinderDriver(VolumeDriver):
    """Passes each call on to a driver of Cinder's.

    :ivar cinders: its class.
    """

    cinders: ClassVar[Any]

    def __init__(self, configuration: Any, *, host: str, **more: Any) -> None:
        super().__init__(configuration, host=host, **more)
        self._made: Any = None
        self._begun: dict[str, dict[str, Any]] = {}

    def do_setup(self, context_: Any) -> None:
        """Make the driver, and have it prepare itself."""
        runtime.begin()
        facts = runtime.facts(self.host)
        self._check(facts)
        options = cinder_configuration.Configuration(
            manager_options.OF_BACKENDS, config_group=self.configuration.config_group
        )
        runtime.tune(options)
        with translated():
            self._made = self.cinders(
                configuration=options,
                host=self.host,
                cluster_name=facts.cluster,
                active_backend_id=self.active_backend_id,
                is_vol_db_empty=facts.is_new,
            )
            # Those of Cinder's base class would make rows; the worker has its own way.
            for name in ("volume", "snapshot"):
                setattr(self._made, f"_get_backup_volume_temp_{name}", _not_by_the_driver)
            self._require_supported()
            self._made.do_setup(context(context_))

    def check_for_setup_error(self) -> None:
        """Ask the driver, and complete its answer as cinder-volume does."""
        with translated():
            self._made.check_for_setup_error()
            self._made.set_throttle()
            self._made.set_initialized()

    def init_capabilities(self) -> None:
        """Have the driver fill its capabilities, with the properties of its vendor."""
        with translated():
            self._made.init_capabilities()
            self.capabilities = dict(self._made.capabilities or {})

    def get_volume_stats(self, refresh: bool = False) -> Mapping[str, Any]:
        """Return a copy of the driver's, with the functions that it has for a scheduler."""
        with translated():
            stats = copy.deepcopy(dict(self._made.get_volume_stats(refresh=refresh) or {}))
            for name in ("filter_function", "goodness_function"):
                if name not in stats:
                    stats[name] = getattr(self._made, f"get_{name}")()
        return stats

    def get_version(self) -> str | None:
        """Return the version of the driver."""
        return str(self._made.get_version())

    def create_volume(self, volume: Record) -> Update:
        """Call the driver's method and translate its update."""
        return self._update("create_volume", volume)

    def delete_volume(self, volume: Record) -> None:
        """Call the driver's method; a volume that the driver does not find is deleted.

        Many drivers leave the check for snapshots to Cinder's API, so the adapter makes it.
        """
        given = cinders(self._as_begun(volume))
        with translated(exception.VolumeNotFound):
            if kept := objects.SnapshotList.get_all_for_volume(context_of(given), volume.id):
                raise VolumeIsBusy(f"volume {volume.id} has {len(kept)} snapshots: delete them")
            self._made.delete_volume(given)
            interrupted.clear(self._made, given)
        utils.clean_volume_file_locks(volume.id, self._made)

    def extend_volume(self, volume: Record, new_size: int) -> None:
        """Call the driver's method."""
        with translated():
            self._made.extend_volume(cinders(volume), new_size)

    def create_snapshot(self, snapshot: Record) -> Update:
        """Call the driver's method and translate its update."""
        return self._update("create_snapshot", snapshot)

    def delete_snapshot(self, snapshot: Record) -> None:
        """Call the driver's method; a snapshot that the driver does not find is deleted."""
        with translated(exception.SnapshotNotFound):
            self._made.delete_snapshot(cinders(self._as_begun(snapshot)))
        utils.clean_snapshot_file_locks(snapshot.id, self._made)

    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Update:
        """Call the driver's method and translate its update."""
        with self.cleaned(exception.SnapshotNotFound, utils.clean_snapshot_file_locks, snapshot):
            return self._update("create_volume_from_snapshot", volume, cinders(snapshot))

    def initialize_connection(
        self,
        volume: Record,
        connector: Mapping[str, Any],
        initiator_data: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Call the driver's method; only older drivers take an initiator's data."""
        more = {"initiator_data": initiator_data}
        with translated():
            call = self._made.initialize_connection
            options = more if takes(call, "initiator_data") else {}
            return dict(call(cinders(volume), dict(connector), **options))

    def terminate_connection(
        self, volume: Record, connector: Mapping[str, Any] | None, force: bool = False
    ) -> bool | None:
        """Call the driver's method."""
        known = None if connector is None else dict(connector)
        with translated():
            answer = self._made.terminate_connection(cinders(volume), known, force=force)
        return answer if isinstance(answer, bool) else None

    def secure_file_operations_enabled(self) -> bool:
        """Ask the driver."""
        with translated():
            return bool(self._made.secure_file_operations_enabled())

    def backup_use_temp_snapshot(self) -> bool:
        """Ask the driver, which asks its configuration."""
        with translated():
            return bool(self._made.backup_use_temp_snapshot())

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        """Ask the driver."""
        with translated():
            return bool(self._made.snapshot_revert_use_temp_snapshot())

    @contextlib.contextmanager
    def cleaned(
        self, absence: type[Exception], clean: Callable[[str, Any], None], source: Record
    ) -> Iterator[None]:
        """Remove the lock files of a source that the driver does not find."""
        try:
            yield
        except DriverError as error:
            if isinstance(error.__cause__, absence):
                clean(source.id, self._made)
            raise

    def _update(self, method: str, record: Record, *arguments: Any) -> Update:
        """Call with an object made from a record; return the columns to write."""
        given = cinders(record)
        try:
            with translated():
                answer = getattr(self._made, method)(given, *arguments)
                return update(record, given, answer)
        except BaseException:
            self._begun[record.id] = changes(given)
            raise

    def _as_begun(self, record: Record) -> Record:
        """Return a record with the columns that a failed creation set, to find its remains."""
        return record.replace(**self._begun.pop(record.id, {}))

    def _check(self, facts: runtime.Facts) -> None:
        """Refuse an operation that the driver does not allow."""
        active = getattr(self.cinders, "SUPPORTS_ACTIVE_ACTIVE", False)
        name = self.cinders.__name__
        if facts.cluster and not active:
            text = f"{name} cannot serve a cluster (SUPPORTS_ACTIVE_ACTIVE): unset cluster"
            raise VolumeDriverException(text)
        processes = self.configuration.safe_get("processes") or 1
        if int(processes) > 1 and not active:
            text = f"{name} cannot have {processes} processes (SUPPORTS_ACTIVE_ACTIVE): set 1"
            raise VolumeDriverException(text)

    def _require_supported(self) -> None:
        if self._made.supported or self._made.configuration.enable_unsupported_driver:
            return
        text = f"Cinder does not support {self.cinders.__name__} any more"
        raise VolumeDriverException(f"{text}: to use it anyway, set enable_unsupported_driver")


def update(record: Record, given: Any, answer: Any) -> Update:
    """Return the columns to write: those that the driver returned, and those that it only set.

    Some return columns as they were, which are not theirs to write, and some return names that
    are no columns: Cinder's objects keep those as attributes, and never save them.
    """
    if answer and not isinstance(answer, Mapping):
        return cast(Update, answer)  # the worker reports the error
    returned = {
        name: value
        for name, value in (answer or {}).items()
        if name in given.fields and not (name in record and record[name] == value)
    }
    if unknown := sorted(str(name) for name in set(answer or {}) - set(given.fields)):
        LOG.debug("%s %s: no columns: %s", record.kind, record.id, ", ".join(unknown))
    return {**changes(given), **returned} or None


def takes(method: Any, name: str) -> bool:
    """Return whether a method has an argument of that name, spelt out."""
    try:
        return name in inspect.signature(method).parameters
    except (TypeError, ValueError):
        return False


def _not_by_the_driver(*_: Any, **__: Any) -> None:
    raise NotImplementedError
