# SPDX-License-Identifier: Apache-2.0
"""For each method that changes something: its preparation, its call, and its outcome.

Tests call it with a kill or another call within, and check the same outcome.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.interface.errors import DriverError
from drivers.interface.group import VolumeConsistencyGroupDriver
from drivers.interface.manage import VolumeManagementDriver
from drivers.interface.records import Record
from drivers.interface.snapshot import VolumeSnapshotManagementDriver

GIB = 1024**3
HEAD, TAIL = b"head", b"tail"


@dataclass
class Prepared:
    """A call that is ready to be made.

    :param records: by role: ``volume`` and ``source`` for example.
    :param removed: the records of objects that the call makes, for its removal.
    """

    method: str
    arguments: tuple[Any, ...]
    records: dict[str, Any] = field(default_factory=dict)
    removed: tuple[Record, ...] = ()


Prepare = Callable[[Any], Prepared]
Check = Callable[[Any, Prepared], None]


@dataclass(frozen=True)
class Scenario:
    """One method.

    :param optional: the method, or the interface, that a driver need not have.
    """

    prepare: Prepare
    check: Check
    optional: str | type | None = None


def filled(backend: Any, size: int = 1) -> Record:
    """Return a volume with data at its begin and at its end."""
    volume = backend.created(size)
    with backend.device(volume) as device:
        device.write(0, HEAD)
        device.write(size * GIB - len(TAIL), TAIL)
    return volume


def has_data(backend: Any, volume: Record, size: int = 1, behind: int = 1) -> None:
    """Check the size of a volume, and the data of its source of ``behind`` GiB."""
    with backend.device(volume) as device:
        assert device.size() == size * GIB
        assert device.read(0, len(HEAD)) == HEAD
        assert device.read(behind * GIB - len(TAIL), len(TAIL)) == TAIL
        if size > behind:
            assert device.read(behind * GIB, 4096) == bytes(4096)


def _create(backend: Any) -> Prepared:
    volume = backend.volume(2)
    return Prepared("create_volume", (volume,), {"volume": volume}, (volume,))


def _is_empty(backend: Any, one: Prepared) -> None:
    with backend.device(one.records["volume"]) as device:
        assert device.size() == 2 * GIB
        assert device.read(0, 4096) == device.read(2 * GIB - 4096, 4096) == bytes(4096)


def _delete(backend: Any) -> Prepared:
    volume = filled(backend)
    return Prepared("delete_volume", (volume,), {"volume": volume})


def _is_gone(backend: Any, one: Prepared) -> None:
    refused(lambda: backend.driver.extend_volume(one.records["volume"], 9))


def refused(call: Callable[[], Any]) -> None:
    """Check that a driver refuses a call on an absent object."""
    with contextlib.suppress(DriverError):
        call()
        raise AssertionError("the object is still there")


def _extend(backend: Any) -> Prepared:
    volume = filled(backend)
    return Prepared("extend_volume", (volume, 3), {"volume": volume})


def _is_extended(backend: Any, one: Prepared) -> None:
    has_data(backend, one.records["volume"], 3)


def _snapshot(backend: Any) -> Prepared:
    volume = filled(backend)
    snapshot = backend.snapshot(volume)
    records = {"snapshot": snapshot, "source": volume}
    return Prepared("create_snapshot", (snapshot,), records, (snapshot,))


def _is_snapshot(backend: Any, one: Prepared) -> None:
    copy = backend.volume()
    backend.write(one.records["source"], 0, b"else")
    backend.driver.create_volume_from_snapshot(copy, one.records["snapshot"])
    has_data(backend, copy)


def _delete_snapshot(backend: Any) -> Prepared:
    volume = filled(backend)
    gone, kept = backend.snapped(volume), backend.snapped(volume)
    records = {"gone": gone, "snapshot": kept, "source": volume}
    return Prepared("delete_snapshot", (gone,), records)


def _other_is_there(backend: Any, one: Prepared) -> None:
    refused(
        lambda: backend.driver.create_volume_from_snapshot(backend.volume(), one.records["gone"])
    )
    has_data(backend, one.records["source"])
    _is_snapshot(backend, one)


def _from_snapshot(backend: Any) -> Prepared:
    source, volume = filled(backend), backend.volume(2)
    snapshot = backend.snapped(source)
    records = {"volume": volume, "snapshot": snapshot, "source": source}
    return Prepared("create_volume_from_snapshot", (volume, snapshot), records, (volume,))


def _is_copy(backend: Any, one: Prepared) -> None:
    has_data(backend, one.records["volume"], 2)
    has_data(backend, one.records["source"])


def _clone(backend: Any) -> Prepared:
    source, volume = filled(backend), backend.volume(2)
    records = {"volume": volume, "source": source}
    return Prepared("create_cloned_volume", (volume, source), records, (volume,))


def _revert(backend: Any) -> Prepared:
    volume = filled(backend)
    snapshot = backend.snapped(volume)
    backend.write(volume, 0, b"else")
    records = {"volume": volume, "snapshot": snapshot, "source": volume}
    return Prepared("revert_to_snapshot", (backend.context, volume, snapshot), records)


def _is_reverted(backend: Any, one: Prepared) -> None:
    has_data(backend, one.records["volume"])
    _is_snapshot(backend, one)


def _connect(backend: Any) -> Prepared:
    from ..backend import CONNECTOR

    volume = filled(backend)
    backend.updated(volume, backend.driver.create_export(backend.context, volume, CONNECTOR))
    return Prepared("initialize_connection", (volume, CONNECTOR), {"volume": volume})


def _is_connected(backend: Any, one: Prepared) -> None:
    volume, connector = one.arguments
    device = backend.open(backend.driver.initialize_connection(volume, connector))
    assert device.read(0, len(HEAD)) == HEAD
    backend.disconnect(volume)
    backend.driver.delete_volume(volume)


def _disconnect(backend: Any) -> Prepared:
    from ..backend import CONNECTOR

    volume = filled(backend)
    backend.connect(volume)
    return Prepared("terminate_connection", (volume, CONNECTOR), {"volume": volume})


def _is_disconnected(backend: Any, one: Prepared) -> None:
    backend.driver.remove_export(backend.context, one.records["volume"])
    has_data(backend, one.records["volume"])
    backend.driver.delete_volume(one.records["volume"])


def _unexport(backend: Any) -> Prepared:
    volume = filled(backend)
    backend.connect(volume)
    return Prepared("remove_export", (backend.context, volume), {"volume": volume})


def _manage(backend: Any) -> Prepared:
    old = filled(backend)
    backend.driver.unmanage(old)
    volume = backend.volume()
    reference = {"source-name": old.name}
    return Prepared("manage_existing", (volume, reference), {"volume": volume})


def _is_managed(backend: Any, one: Prepared) -> None:
    has_data(backend, one.records["volume"])


def _unmanage(backend: Any) -> Prepared:
    volume = filled(backend)
    return Prepared("unmanage", (volume,), {"volume": volume})


def _unmanage_snapshot(backend: Any) -> Prepared:
    volume = filled(backend)
    snapshot = backend.snapped(volume)
    return Prepared("unmanage_snapshot", (snapshot,), {"source": volume})


def _is_let_go(backend: Any, one: Prepared) -> None:
    has_data(backend, one.records["source"])


def _group_snapshot(backend: Any) -> Prepared:
    volumes = [filled(backend), filled(backend)]
    snapshots = [backend.snapshot(volume) for volume in volumes]
    whole = Record("cgsnapshot", {"id": snapshots[0].id, "consistencygroup_id": "group"})
    records = {"snapshots": snapshots, "sources": volumes}
    arguments = (backend.context, whole, snapshots)
    return Prepared("create_cgsnapshot", arguments, records, tuple(snapshots))


def _are_snapshots(backend: Any, one: Prepared) -> None:
    for snapshot, source in zip(one.records["snapshots"], one.records["sources"], strict=True):
        _is_snapshot(backend, Prepared("", (), {"snapshot": snapshot, "source": source}))


def _group_of_group(backend: Any) -> Prepared:
    sources, volumes = [filled(backend), filled(backend)], [backend.volume(), backend.volume()]
    group = Record("consistencygroup", {"id": volumes[0].id, "source_cgid": "group"})
    source = Record("consistencygroup", {"id": sources[0].id})
    arguments = (backend.context, group, volumes, None, None, source, sources)
    records = {"volumes": volumes}
    return Prepared("create_consistencygroup_from_src", arguments, records, tuple(volumes))


def _are_copies(backend: Any, one: Prepared) -> None:
    for volume in one.records["volumes"]:
        has_data(backend, volume)


def _delete_group(backend: Any) -> Prepared:
    volumes = [filled(backend), filled(backend)]
    group = Record("consistencygroup", {"id": volumes[0].id})
    return Prepared(
        "delete_consistencygroup", (backend.context, group, volumes), {"volumes": volumes}
    )


def _are_gone(backend: Any, one: Prepared) -> None:
    for volume in one.records["volumes"]:
        refused(lambda volume=volume: backend.driver.extend_volume(volume, 9))


def _delete_group_snapshot(backend: Any) -> Prepared:
    one = _group_snapshot(backend)
    backend.driver.create_cgsnapshot(*one.arguments)
    return Prepared("delete_cgsnapshot", one.arguments, one.records)


def _snapshots_are_gone(backend: Any, one: Prepared) -> None:
    for snapshot, source in zip(one.records["snapshots"], one.records["sources"], strict=True):
        refused(
            lambda snapshot=snapshot: backend.driver.create_volume_from_snapshot(
                backend.volume(), snapshot
            )
        )
        has_data(backend, source)


SCENARIOS: Mapping[str, Scenario] = {
    "create_volume": Scenario(_create, _is_empty),
    "delete_volume": Scenario(_delete, _is_gone),
    "extend_volume": Scenario(_extend, _is_extended),
    "create_snapshot": Scenario(_snapshot, _is_snapshot),
    "delete_snapshot": Scenario(_delete_snapshot, _other_is_there),
    "create_volume_from_snapshot": Scenario(_from_snapshot, _is_copy),
    "create_cloned_volume": Scenario(_clone, _is_copy, "create_cloned_volume"),
    "revert_to_snapshot": Scenario(_revert, _is_reverted, "revert_to_snapshot"),
    "initialize_connection": Scenario(_connect, _is_connected),
    "terminate_connection": Scenario(_disconnect, _is_disconnected),
    "remove_export": Scenario(_unexport, _is_disconnected, "remove_export"),
    "manage_existing": Scenario(_manage, _is_managed, VolumeManagementDriver),
    "unmanage": Scenario(_unmanage, _is_managed, VolumeManagementDriver),
    "unmanage_snapshot": Scenario(_unmanage_snapshot, _is_let_go, VolumeSnapshotManagementDriver),
    "create_cgsnapshot": Scenario(_group_snapshot, _are_snapshots, VolumeConsistencyGroupDriver),
    "create_consistencygroup_from_src": Scenario(
        _group_of_group, _are_copies, VolumeConsistencyGroupDriver
    ),
    "delete_consistencygroup": Scenario(_delete_group, _are_gone, VolumeConsistencyGroupDriver),
    "delete_cgsnapshot": Scenario(
        _delete_group_snapshot, _snapshots_are_gone, VolumeConsistencyGroupDriver
    ),
}
