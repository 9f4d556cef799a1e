# SPDX-License-Identifier: Apache-2.0
"""End orphaned resources: no journal and no row in ``workers`` names an operation on them.

==================  ====================  ==============================================
resource            status                end
==================  ====================  ==============================================
volume              creating              ``error``
volume              downloading           driver.clear_download, ``error``
volume              uploading             ``in-use`` with attachments, else ``available``
volume              deleting              it is deleted by an operation of its own; in a
                                          group that was being deleted:
                                          ``error_deleting``
volume              unmanaging            ``error_unmanaging``
volume              managing              ``error_managing``
volume              deleting a volume     ``error_managing``
                    not managed
volume              extending             ``error_extending``; not where a compute host
                                          is still to say how it went
volume              retyping              the status that it had before
volume              reverting             ``error``
volume              maintenance           the status that it had before, where it was
                                          being migrated
volume              (migration) starting, migration status ``error``; not where a
                    migrating, completing compute service has taken the copy
snapshot            creating              ``error``
snapshot            deleting, unmanaging  ``error_deleting``, unless its volume is deleted
snapshot            restoring             ``available``
group, snapshot of  creating, deleting,   ``error``; members of a group ``error``, or
one, old ones too   updating              ``error_deleting``; of a snapshot ``error``
group               (replication)         ``error``, and its replication; volumes too
                    enabling, disabling,
                    failing-over
service             (replication)         disabled, ``failover-error``
                    failing-over
==================  ====================  ==============================================

Those are the ends of the operations that failed. Quota that was reserved for an
extension or another type is not known any more, and expires.

Only rows that have not changed since the start are ended. That is judged by comparing each row
with how it was read then (:func:`read`), never by a clock: those of the database, of the
schedulers and of this host may differ by minutes.
Source: spec/volume-rpc §2 and §8.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from taskflow.patterns import linear_flow

from drivers.interface.records import Record
from flows.context import HostContext
from flows.driver_calls import driver_contract
from flows.errors import NotFound, RunInterrupted, StatusChanged, Unavailable
from flows.factories import registered
from flows.group import replicate
from flows.group.group_kinds import KINDS
from flows.group.lifecycle import set_member
from flows.group.replicate import ReplicationChange
from flows.host.failover import SERVICE, write_everywhere
from flows.lifecycle import Step
from flows.protocols.service_records import BackendRecords, ServiceRow
from flows.snapshot.lifecycle import set_status
from flows.statuses import GroupStatus, SnapshotStatus, VolumeStatus, migrating_volume
from flows.volume.lifecycle import IDLE, idle_status, set_finished
from flows.volume.migration.status_tables import MIGRATION, RESTORED
from flows.volume.migration.target import is_taken

LOG = logging.getLogger(__name__)

_Ending = Callable[[HostContext, Record], None]

VOLUMES: Mapping[str, str] = {
    VolumeStatus.CREATING: VolumeStatus.ERROR,
    VolumeStatus.DOWNLOADING: VolumeStatus.ERROR,
    VolumeStatus.UNMANAGING: VolumeStatus.ERROR_UNMANAGING,
    VolumeStatus.MANAGING: VolumeStatus.ERROR_MANAGING,
    VolumeStatus.ERROR_MANAGING_DELETING: VolumeStatus.ERROR_MANAGING,
    VolumeStatus.EXTENDING: VolumeStatus.ERROR_EXTENDING,
    VolumeStatus.REVERTING: VolumeStatus.ERROR,
}
"""Volumes that end in a status of their own; see ``_BACK`` for the others."""

_BACK = (VolumeStatus.UPLOADING, VolumeStatus.RETYPING)

SNAPSHOTS: Mapping[str, str] = {
    SnapshotStatus.CREATING: SnapshotStatus.ERROR,
    SnapshotStatus.DELETING: SnapshotStatus.ERROR_DELETING,
    SnapshotStatus.UNMANAGING: SnapshotStatus.ERROR_DELETING,
    SnapshotStatus.RESTORING: SnapshotStatus.AVAILABLE,
}

GROUPS: Mapping[str, str] = {
    GroupStatus.CREATING: GroupStatus.ERROR,
    GroupStatus.DELETING: GroupStatus.ERROR,
    GroupStatus.UPDATING: GroupStatus.ERROR,
}
"""Groups of each kind, and their snapshots."""

GROUP_VOLUMES: Mapping[str, str] = {
    VolumeStatus.CREATING: VolumeStatus.ERROR,
    VolumeStatus.DELETING: VolumeStatus.ERROR_DELETING,
}
GROUP_SNAPSHOTS: Mapping[str, str] = {
    SnapshotStatus.CREATING: SnapshotStatus.ERROR,
    SnapshotStatus.DELETING: SnapshotStatus.ERROR,
}
"""Members of a group, and of a snapshot of one, by the status of the latter."""

REPLICATION: Mapping[str, ReplicationChange] = {
    change.during: change for change in (replicate.ENABLE, replicate.DISABLE, replicate.FAILOVER)
}

_KNOWN_BY = (
    *("id", "volume_id", "group_id", "consistencygroup_id"),
    *("group_snapshot_id", "cgsnapshot_id"),
)
"""Columns by which an operation may know of a row."""

_DELETED_AGAIN = VolumeStatus.DELETING
"""Status of volumes that an operation of their own deletes."""

_SERVICE = "service"
"""The key of the service's row among the rows that were read."""

_ANSWER_AWAITED = "extend_new_size"
"""Admin metadata of a volume whose extension a compute host is to complete."""


class EndOrphaned(Step, task="end"):
    """End each one. Idempotent: an ended one is in another status by then."""

    def execute(self, ctx: HostContext, as_read: Mapping[str, str]) -> None:
        for kind, column, among, ending in _QUERIES:
            rows = ctx.host.unsettled(kind, column=column, among=among)
            _each(ctx, (row for row in rows if as_read.get(_key(row)) == _state(row)), ending)
        if as_read.get(_SERVICE) in SERVICE.during:
            _end_failover(ctx)


@registered
def flow() -> linear_flow.Flow:
    """End orphaned resources. Needs rows in transient statuses ``as_read`` at the start."""
    return linear_flow.Flow("abandoned").add(EndOrphaned())


def rows(host: BackendRecords) -> Iterator[Record]:
    """Yield the rows of a backend in transient statuses; some more than once."""
    wanted = [(kind, column, among) for kind, column, among, _ending in _QUERIES]
    # Nearly always there are none, and eight queries for whole rows are much for each start.
    for (kind, column, among), some in zip(wanted, host.have_unsettled(wanted), strict=True):
        if some:
            yield from host.unsettled(kind, column=column, among=among)


def read(host: BackendRecords, service: ServiceRow) -> dict[str, str]:
    """Return the state of each row in a transient status, to be compared with later."""
    found = {_key(row): _state(row) for row in rows(host)}
    if (status := service.get().replication_status) in SERVICE.during:
        found[_SERVICE] = str(status)
    return found


def unknown(host: BackendRecords, known: Collection[str]) -> list[Record]:
    """Return the rows in transient statuses that no unfinished operation names.

    :param known: ids of resources that the operations in the journal name.
    """
    found = {_key(row): row for row in rows(host)}
    return [row for row in found.values() if not any(name in known for name in _names(row))]


def _key(row: Record) -> str:
    return f"{row.kind} {row.id}"


def _state(row: Record) -> str:
    columns = ("status", "migration_status", "replication_status", "created_at", "updated_at")
    return "|".join(str(row.get(column)) for column in columns)


def _names(record: Record) -> Iterable[str]:
    """Return the ids by which an operation may know of a row."""
    found = (record[name] for name in _KNOWN_BY if name in record)
    migrating = migrating_volume(record.get("migration_status"))
    return [*(name for name in found if name), *([migrating] if migrating else ())]


def _each(ctx: HostContext, found: Iterable[Record], ending: _Ending) -> None:
    records = list(found)
    # In this order: whose row was read before its message came is in the journal by now.
    known = ctx.operations.in_progress() if records else ()
    for record in records:
        if any(name in known for name in _names(record)):
            continue
        try:
            ending(ctx, record)
        except (Unavailable, RunInterrupted):
            raise
        except Exception as error:  # noqa: BLE001 - the others have their turn
            LOG.error(
                "%s %s is left as it is: %s", record.kind, record.id, driver_contract.masked(error)
            )


def _end_volume(ctx: HostContext, volume: Record) -> None:
    status = volume.status
    if _is_swapped(ctx, volume):
        return
    if status == VolumeStatus.EXTENDING and _ANSWER_AWAITED in (volume.admin_metadata or {}):
        return
    _log_orphaned(volume, status)
    if status == _DELETED_AGAIN:
        ctx.operations.delete_volume(volume)
        return
    if status == VolumeStatus.DOWNLOADING:
        _clear_download(ctx, volume)
    end = VOLUMES.get(status) or _previous_status(ctx, volume)
    set_finished(ctx, volume, (status,), end)


def _clear_download(ctx: HostContext, volume: Record) -> None:
    try:
        ctx.driver.clear_download(ctx.request, volume)
    except Exception as error:  # noqa: BLE001 - the volume is in error, and deleted some day
        LOG.warning(
            "a download into volume %s is not cleared: %s", volume.id, driver_contract.masked(error)
        )


def _previous_status(ctx: HostContext, volume: Record) -> str:
    """Return the status that a volume goes back to."""
    if volume.status == VolumeStatus.UPLOADING or volume.previous_status not in IDLE.values():
        return idle_status(ctx, volume.id)
    return str(volume.previous_status)


def _is_swapped(ctx: HostContext, volume: Record) -> bool:
    """Return whether a compute service is at work on a volume, and will end its migration."""
    if volume.migration_status not in MIGRATION.during:
        return False
    copy = ctx.volumes.copy_of(volume.id)
    return copy is not None and is_taken(ctx, copy.id)


def _end_migration(ctx: HostContext, volume: Record) -> None:
    if _is_swapped(ctx, volume):
        return
    _log_orphaned(volume, f"migrating ({volume.migration_status})")
    columns = {"migration_status": MIGRATION.failed}
    if volume.status in RESTORED:
        set_finished(ctx, volume, (volume.status,), _previous_status(ctx, volume), **columns)
    else:
        ctx.volumes.update(volume.id, **columns)


def _end_snapshot(ctx: HostContext, snapshot: Record) -> None:
    deleting = snapshot.status == SnapshotStatus.DELETING
    if deleting and snapshot.volume.status == VolumeStatus.DELETING:
        return  # it goes with its volume
    _log_orphaned(snapshot, snapshot.status)
    set_status(ctx, snapshot, (snapshot.status,), SNAPSHOTS[snapshot.status])


def _end_group(ctx: HostContext, group: Record) -> None:
    of, status = KINDS[group.kind], group.status
    _log_orphaned(group, status)
    if end := (GROUP_SNAPSHOTS if of.is_snapshot else GROUP_VOLUMES).get(status):
        for member in of.rows(ctx).members(group.id):
            set_member(ctx, of, member, (status,), end)
    try:
        of.rows(ctx).transition(group.id, GROUPS[status], when=(status,))
    except (StatusChanged, NotFound) as error:
        LOG.info("%s %s is left as it is: %s", of.name, group.id, error)


def _end_replication(ctx: HostContext, group: Record) -> None:
    during = group.replication_status
    _log_orphaned(group, during)
    ctx.groups[group.kind].set_replication(
        group.id,
        REPLICATION[during].replication.failed,
        when=during,
        status=replicate.STATUSES.failed,
        members_status=replicate.MEMBERS.failed,
    )


def _end_failover(ctx: HostContext) -> None:
    left = ctx.service.get().replication_status in SERVICE.during
    if left and ctx.backend.name not in ctx.operations.in_progress():
        LOG.warning("a failover of %s was left unfinished by another service", ctx.backend.host)
        write_everywhere(ctx, disabled=True, replication_status=SERVICE.failed)


def _log_orphaned(record: Record, status: str) -> None:
    LOG.warning("%s %s was left %s by another service", record.kind, record.id, status)


_QUERIES: tuple[tuple[str, str, Collection[str], _Ending], ...] = (
    *((kind, "status", GROUPS, _end_group) for kind in KINDS),
    ("group", "replication_status", REPLICATION, _end_replication),
    # These first, as their writes make a volume count as changed.
    ("volume", "migration_status", MIGRATION.during, _end_migration),
    ("volume", "status", (*VOLUMES, *_BACK, _DELETED_AGAIN), _end_volume),
    ("snapshot", "status", tuple(SNAPSHOTS), _end_snapshot),
)
"""Kind, column and statuses of the rows that are ended, and how; in this order."""
