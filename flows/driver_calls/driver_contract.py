# SPDX-License-Identifier: Apache-2.0
"""Check the arguments and the answers of drivers against their contract."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from taskflow.types.failure import Failure

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from flows.context import OperationContext
from flows.errors import (
    DriverNotInitialized,
    DriverReturnedRubbish,
    FlowError,
    Invalid,
    InvalidInput,
    NotFound,
    StatusChanged,
)
from flows.lifecycle import failed_itself, was_refused
from flows.protocols.backends import serves
from flows.protocols.records import SnapshotRecords, VolumeRecords
from flows.statuses import migrating_volume
from flows.storable_errors import text_of

LOG = logging.getLogger(__name__)

_WORKER_COLUMNS = {
    *("created_at", "updated_at", "deleted_at", "deleted", "scheduled_at"),
    *("user_id", "project_id", "use_quota", "size", "previous_status", "attach_status"),
    *("host", "cluster_name", "group_id", "snapshot_id", "source_volid", "volume_id"),
    *("consistencygroup_id", "cgsnapshot_id", "group_snapshot_id", "group_type_id"),
    *("source_group_id", "source_cgid"),
    *("fail_reason", "temp_volume_id", "temp_snapshot_id", "num_dependent_backups"),
    *("restore_volume_id", "service"),
}
"""Columns that the worker or the API owns; a driver does not write them."""


def model_update(
    answer: Any,
    resource: Record,
    call: str,
    *,
    ignored: Collection[str] = (),
    names: Collection[str] = (),
) -> dict[str, Any]:
    """Return the columns that a driver wants written, None meaning nothing.

    A ``status`` is dropped: the operation decides it (spec/interfaces §1). A ``host`` may name
    another pool of the same backend, which the driver has chosen, by the type for example.

    :param ignored: columns of ours that a driver may name and the operation decides.
    :param names: ids after which the resource's object may be named, besides its own.
    :raises DriverReturnedRubbish: no dict, another row's id, the name of another's object, or
        a column that is not the driver's to write.
    """
    if answer is None:
        return {}
    who = f"{call} of {resource.kind} {resource.id}"
    if not isinstance(answer, Mapping) or not all(isinstance(key, str) for key in answer):
        raise DriverReturnedRubbish(f"{who} returned {_shown(answer)}, not a dict of columns")
    update = {name: value for name, value in answer.items() if name not in ignored}
    if update.pop("id", resource.id) != resource.id:
        raise DriverReturnedRubbish(f"{who} returned an update for {answer['id']}")
    if (status := update.pop("status", None)) is not None:
        LOG.warning("%s named the status %s; the operation decides it", who, status)
    owned = _WORKER_COLUMNS - ({"host"} if _is_another_pool(update, resource) else set())
    if stolen := sorted(update.keys() & owned):
        raise DriverReturnedRubbish(
            f"{who} returned {', '.join(stolen)}: columns that a driver must not set"
        )
    _require_own_names(update, {None, resource.id, resource.get("_name_id"), *names}, who)
    return update


def _is_another_pool(update: Mapping[str, Any], resource: Record) -> bool:
    """Return whether an update names a pool of the backend that the resource is on."""
    new, old = update.get("host"), resource.get("host")
    if not isinstance(new, str) or not isinstance(old, str):
        return False
    backend, sign, pool = new.partition("#")
    return bool(sign and pool) and backend == old.partition("#")[0]


def _require_own_names(update: Mapping[str, Any], own: Collection[str | None], who: str) -> None:
    """Refuse columns by which another resource's object would be deleted with this one's row."""
    if (name_id := update.get("_name_id")) not in own:
        raise DriverReturnedRubbish(
            f"{who} returned the _name_id {name_id!r:.60} of another volume"
        )
    if migrating_volume(update.get("migration_status")) is not None:
        status = update["migration_status"]
        raise DriverReturnedRubbish(f"{who} returned the migration_status {status!r:.60}")


def store(
    write: Callable[..., None], resource: Record, update: Mapping[str, Any], call: str
) -> None:
    """Write a checked update to its row.

    :raises DriverReturnedRubbish: an unknown column, or a value that does not fit.
    """
    if not update:
        return
    try:
        write(resource.id, **update)
    except ValueError as error:
        raise DriverReturnedRubbish(f"{call} of {resource.kind} {resource.id}: {error}") from error


def connection_info(answer: Any, volume: Record) -> dict[str, Any]:
    """Return a copy of the driver's connection info.

    :raises DriverReturnedRubbish: not a dict with ``driver_volume_type`` and a
        dict ``data``, or not representable as JSON.
    """
    who = f"initialize_connection of volume {volume.id}"
    if not isinstance(answer, Mapping):
        raise DriverReturnedRubbish(f"{who} returned {_shown(answer)}, not a dict")
    if not isinstance(answer.get("driver_volume_type"), str):
        raise DriverReturnedRubbish(f"{who} returned no driver_volume_type")
    if not isinstance(answer.get("data"), Mapping):
        raise DriverReturnedRubbish(f"{who} returned no data")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(answer)))
    except (TypeError, ValueError) as error:
        raise DriverReturnedRubbish(f"{who} returned values that are not JSON: {error}") from error
    return copy


def positive_gib(size: Any, label: str) -> int:
    """Return a size in GiB.

    :raises InvalidInput: not a whole number above zero.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise InvalidInput(f"{label} has size {size!r}, not a whole number of GiB above 0")
    return size


def backend_error(
    call: str, resource_id: str, error: BaseException, kind: str = "volume"
) -> Exception:
    """Return the error that a caller on the bus gets for a driver's exception.

    Our own refusals stay as they are. A driver's words may quote a connector, so
    text that looks like a secret is masked.
    """
    if isinstance(error, FlowError) and not isinstance(error, DriverReturnedRubbish):
        return error
    return VolumeBackendAPIException(
        f"{call} of {kind} {resource_id} failed: {type(error).__name__}: {masked(error)}"
    )


def masked(error: BaseException) -> str:
    """Return an error's text with secrets masked."""
    return text_of(error)


def may_delete(
    rows: VolumeRecords | SnapshotRecords, resource: Record, during: Collection[str]
) -> bool:
    """Ask the database whether the object of a failed creation may be deleted.

    Not where the resource is in use meanwhile; where its row has gone, no other
    operation deletes it. Written, not read: a row that was read may be cached.
    """
    try:
        if resource.status not in during:
            raise StatusChanged(f"{resource.kind} {resource.id}", resource.status, during)
        rows.transition(resource.id, resource.status, when=(resource.status,))
    except StatusChanged as error:
        LOG.warning("%s: its data stays", error)
        return False
    except NotFound:
        return True
    return True


def never_reached_driver(flow_failures: Mapping[str, Failure]) -> bool:
    """Return whether an operation failed before its driver was asked for anything."""
    return any(failure.check(DriverNotInitialized) for failure in flow_failures.values())


def takes(method: Any, name: str) -> bool:
    """Return whether a driver's method has an argument of that name."""
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def on_this_backend(ctx: OperationContext, row: Mapping[str, Any]) -> bool:
    """Return whether a row is of this backend or of its cluster; or of this host, for a backup."""
    return serves(ctx.backend, row)


def require_on_this_backend(
    ctx: OperationContext, resource: Record, row: Mapping[str, Any]
) -> None:
    """Refuse a resource that lives on another backend: its own service works on it.

    :param row: the row that names the backend: the resource's own, or that of its volume.
    :raises Invalid: names both backends.
    """
    if not on_this_backend(ctx, row):
        found = (ctx.backend.cluster and row.get("cluster_name")) or row.get("host") or "no host"
        text = f"is on {found}, not on {ctx.backend.cluster or ctx.backend.host}"
        raise Invalid(f"{resource.kind} {resource.id} {text}")


def belongs_elsewhere(ctx: OperationContext, result: Any, row: Mapping[str, Any] | None) -> bool:
    """Return whether the first step has not accepted a resource, which is another backend's.

    Then a revert writes nothing: the step refused the resource, or was interrupted before it.

    :param result: of the first step.
    :param row: the row that names the backend; None where it is gone.
    """
    return was_refused(result) or (
        failed_itself(result)
        and row is not None
        and row.get("host") is not None
        and not on_this_backend(ctx, row)
    )


def _shown(answer: Any) -> str:
    return f"a {type(answer).__name__}"
