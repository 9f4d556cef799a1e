# SPDX-License-Identifier: Apache-2.0
"""Ids, locks and operations from the arguments of a message."""

from __future__ import annotations

import reprlib
from typing import Any

from worker.rpc.dispatch import BadArguments
from worker.rpc.operation import Operation, WhenInterrupted
from worker.rpc.received.argument_forms import is_id


def on_volume(factory: Any, volume: Any, **args: Any) -> Operation:
    """Return an operation that changes one volume."""
    volume_id = id_of(volume, "volume")
    return Operation(
        factory,
        ("volume", volume_id),
        {"volume_id": volume_id, **args},
        exclusive=(volume_lock(volume_id),),
    )


def on_snapshot(factory: Any, snapshot: Any, **args: Any) -> Operation:
    """Return an operation that changes one snapshot, while its volume stays as it is."""
    snapshot_id = id_of(snapshot, "snapshot")
    return Operation(
        factory,
        ("snapshot", snapshot_id),
        {"snapshot_id": snapshot_id, **args},
        exclusive=(snapshot_lock(snapshot_id),),
        shared=tuple(volume_lock(v) for v in ids_of(snapshot, "volume_id")),
    )


def on_backup(
    factory: Any, backup: Any, *, moves_data: bool = False, answer: Any = None, **args: Any
) -> Operation:
    """Return an operation on one backup."""
    backup_id = id_of(backup, "backup")
    return Operation(
        factory,
        ("backup", backup_id),
        {"backup_id": backup_id, **args},
        exclusive=(backup_lock(backup_id),),
        answer=answer,
        moves_data=moves_data,
    )


def on_chain(factory: Any, backup: Any, *locks: str, **args: Any) -> Operation:
    """Return an operation that changes a chain of backups; one of each volume at a time.

    Backups and restores need not wait for it.
    """
    backup_id, volume_id = id_of(backup, "backup"), field(backup, "volume_id", "backup")
    check_id(volume_id, "the volume_id of backup")
    return Operation(
        factory,
        ("backup", backup_id),
        {"backup_id": backup_id, **args},
        exclusive=(f"{volume_id}-backup-chains", *locks),
        moves_data=True,
    )


def on_snapshot_connection(factory: Any, snapshot_id: Any, **args: Any) -> Operation:
    """Return an operation on the export of a snapshot."""
    check_id(snapshot_id, "snapshot_id")
    return Operation(
        factory,
        ("snapshot", snapshot_id),
        {"snapshot_id": snapshot_id, **args},
        exclusive=(snapshot_id,),
    )


def on_connection(
    factory: Any,
    volume_id: Any,
    answer: Any = None,
    when_interrupted: WhenInterrupted = "finish",
    **args: Any,
) -> Operation:
    """Return an operation on the export of a volume."""
    check_id(volume_id, "volume_id")
    # One volume's exports change one after another; its own name is Cinder's lock for that.
    return Operation(
        factory,
        ("volume", volume_id),
        {"volume_id": volume_id, **args},
        exclusive=(volume_id,),
        answer=answer,
        when_interrupted=when_interrupted,
    )


def volume_lock(volume_id: str) -> str:
    """Return the name of the lock for changes of a volume on its backend (spec/service §6)."""
    return f"{volume_id}-delete_volume"


def snapshot_lock(snapshot_id: str) -> str:
    """Return the name of the lock for changes of a snapshot on its backend (spec/service §6)."""
    return f"{snapshot_id}-delete_snapshot"


def backup_lock(backup_id: str) -> str:
    """Return the name of the lock for changes of a backup in its store."""
    return f"{backup_id}-backup"


def field(source: Any, name: str, label: str) -> Any:
    """Return a field of an object or dict. :raises BadArguments: there is none."""
    try:
        return source[name]
    except (KeyError, TypeError, IndexError):
        raise BadArguments(f"{label} has no {name}") from None


def id_of(source: Any, label: str) -> str:
    """Return the id of an object. :raises BadArguments: it has none, or no usable one."""
    found = field(source, "id", label)
    check_id(found, f"the id of {label}")
    return str(found)


def check_id(found: Any, label: str) -> None:
    """Check an id, which becomes part of the names of locks and files.

    :raises BadArguments: it cannot be an id.
    """
    if not is_id(found):
        raise BadArguments(f"{label} is not usable: {reprlib.repr(found)}")


def ids_of(source: Any, name: str) -> list[str]:
    """Return the id that a field holds, in a list; an empty one without it."""
    try:
        found = source[name]
    except (KeyError, TypeError):
        return []
    if not found:
        return []
    check_id(found, name)
    return [str(found)]


def as_list(value: Any) -> list[Any]:
    """Return a list or tuple as a list; an empty list for any other value."""
    return list(value) if isinstance(value, list | tuple) else []


def prefix_of(log_request: Any) -> str:
    """Return the prefix of logger names, empty for all."""
    try:
        return str(log_request["prefix"] or "")
    except (KeyError, TypeError):
        return ""
