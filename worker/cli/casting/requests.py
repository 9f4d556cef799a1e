# SPDX-License-Identifier: Apache-2.0
"""One request, made as cinder-api and cinder-scheduler make it (spec/volume-rpc §1.2)."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from oslo_messaging import MessagingTimeout, RemoteError
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.statuses import MigrationStatus, ReplicationStatus, SnapshotStatus, VolumeStatus
from worker.cli.access import Access, CommandError
from worker.cli.casting.destination import Destination
from worker.cli.casting.rows import RequestRows, require
from worker.rpc.clients.volume import METHODS, VolumeClient
from worker.rpc.request_context import RequestContext

_AT_REST = (VolumeStatus.AVAILABLE, VolumeStatus.ERROR, VolumeStatus.ERROR_DELETING)
_DELETABLE = (
    *_AT_REST,
    VolumeStatus.ERROR_EXTENDING,
    VolumeStatus.ERROR_RESTORING,
    VolumeStatus.ERROR_MANAGING,
    VolumeStatus.ERROR_UNMANAGING,
)
_USABLE = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)
_REIMAGED = (VolumeStatus.AVAILABLE, VolumeStatus.ERROR, VolumeStatus.RESERVED)

_AT_ONCE = frozenset({"publish_service_capabilities", "set_log_levels"})
"""Casts that change no resource, and so start no flow."""


@dataclass(frozen=True)
class Sent:
    """A request that was sent.

    :param request_id: by which the journal knows it.
    :param resource: the volume or snapshot that it is about.
    :param during: its statuses while it is being carried out; empty where they are unknown.
    :param wanted: the statuses that it is to end in.
    """

    method: str
    is_cast: bool
    request_id: str
    resource: Record | None = None
    during: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    answer: Any = None
    warning: str = ""

    @property
    def journalled(self) -> bool:
        """Whether the journal records it."""
        return self.method not in _AT_ONCE


@dataclass(frozen=True)
class _Prepared:
    """The arguments of a method, and the final statuses of its resource."""

    args: Mapping[str, Any] = field(default_factory=dict)
    resource: Record | None = None
    during: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()


class CastRequest:
    """A method with its arguments.

    :param options: the command line.
    :param extra: further arguments of the method.
    """

    def __init__(
        self, access: Access, options: argparse.Namespace, extra: Mapping[str, Any]
    ) -> None:
        self._access = access
        self._options = options
        self._extra = dict(extra)
        self._destination = Destination(access, options.host)

    def send(self) -> Sent:
        """Prepare and send.

        :raises CommandError: it cannot be sent like this; nothing was changed.
        """
        name = self._options.method
        if name not in METHODS:
            raise CommandError(f"no method {name}; known: {', '.join(sorted(METHODS))}")
        known = (*METHODS[name].arguments, *METHODS[name].optional)
        if unknown := sorted(self._extra.keys() - set(known)):
            takes = ", ".join(known) or "none"
            raise CommandError(f"{name} has no argument {unknown[0]}; it takes: {takes}")
        counts = not self._access.conf.no_snapshot_gb_quota
        prepare: Callable[[RequestRows], _Prepared] = getattr(self, f"_{name}", self._plain)
        with RequestRows(self._access.records, gigabytes=counts) as rows:
            prepared = prepare(rows)
            sent = self._send(name, prepared)
            rows.keep()
        return sent

    def _send(self, name: str, prepared: _Prepared) -> Sent:
        owner = self._options.project
        who = {"is_admin": True, "roles": ["admin"], "user_id": owner, "project_id": owner}
        request = RequestContext(who)
        host = None if METHODS[name].fanout else self._destination.of(prepared.resource)
        args, seconds = {**prepared.args, **self._extra}, self._access.conf.rpc_response_timeout
        client = VolumeClient(self._access.bus, seconds)
        request_id, resource = str(request.request_id), prepared.resource
        if not METHODS[name].answers:
            warning = self._destination.warning(host) if host else ""
            client.cast(request, host, name, **args)
            statuses = prepared.during, prepared.wanted
            return Sent(name, True, request_id, resource, *statuses, warning=warning)
        try:
            answer = client.call(request, str(host), name, **args)
        except MessagingTimeout as error:
            text = f"no answer from {host} within {seconds} s: is it up? see: holdfast service list"
            raise CommandError(text) from error
        except RemoteError as error:
            raise CommandError(f"{name} failed: {error.exc_type}: {error.value}") from error
        return Sent(name, False, request_id, resource, answer=answer)

    def _plain(self, rows: RequestRows) -> _Prepared:
        """Any other method: the volume or snapshot in the form that it wants."""
        method = METHODS[self._options.method]
        args: dict[str, Any] = {}
        resource: Record | None = None
        if self._options.snapshot:
            resource = self._snapshot
            args |= {"snapshot": resource, "snapshot_id": resource.id}
        if self._options.volume:
            resource = self._volume
            args |= {"volume": resource, "vref": resource, "volume_id": resource.id}
        known = args.keys() & {*method.arguments, *method.optional}
        return _Prepared({name: args[name] for name in known}, resource)

    def _get_capabilities(self, rows: RequestRows) -> _Prepared:
        return _Prepared({"discover": False})

    def _freeze_host(self, rows: RequestRows) -> _Prepared:
        return self._on_service(rows, frozen=True)

    def _thaw_host(self, rows: RequestRows) -> _Prepared:
        return self._on_service(rows, frozen=False)

    def _failover(self, rows: RequestRows) -> _Prepared:
        return self._on_service(rows, replication_status=ReplicationStatus.FAILING_OVER)

    def _on_service(self, rows: RequestRows, **columns: Any) -> _Prepared:
        rows.mark(self._destination.service, **columns)
        return _Prepared({})

    def _create_volume(self, rows: RequestRows) -> _Prepared:
        options, size = self._options, self._options.size
        sources: dict[str, str] = {}
        if options.snapshot or options.source:
            least, sources = self._source()
            size = size or least
            if size < least:
                raise CommandError(f"--size {size} is too small, its source needs {least} GiB")
        if not size or size < 1:
            raise CommandError("create_volume needs --size, or --snapshot or --source")
        volume = rows.create_volume(size=size, **self._new, **sources)
        args: dict[str, Any] = {"volume": volume}
        if options.image:
            properties = {"size": size, "display_name": options.name}
            args["request_spec"] = {"image_id": options.image, "volume_properties": properties}
        during = (VolumeStatus.CREATING, VolumeStatus.DOWNLOADING)
        return _Prepared(args, volume, during, (VolumeStatus.AVAILABLE,))

    @property
    def _new(self) -> dict[str, Any]:
        """Columns with the same value in each new volume."""
        options = self._options
        return {
            "host": self._destination.default,
            "display_name": options.name,
            "project_id": options.project,
            "user_id": options.project,
            "availability_zone": self._access.conf.storage_availability_zone,
        }

    def _copy_volume_to_image(self, rows: RequestRows) -> _Prepared:
        volume = self._volume
        rows.move(volume, VolumeStatus.UPLOADING, _USABLE, previous_status=volume.status)
        args = {"volume_id": volume.id, "image_meta": self._image}
        return _Prepared(args, volume, (VolumeStatus.UPLOADING,), _USABLE)

    def _reimage(self, rows: RequestRows) -> _Prepared:
        volume = self._volume
        rows.move(volume, VolumeStatus.DOWNLOADING, _REIMAGED, previous_status=volume.status)
        row = self._access.volume(volume.id)
        args = {"volume": row, "image_meta": self._image}
        return _Prepared(args, volume, (VolumeStatus.DOWNLOADING,), _REIMAGED)

    def _manage_existing(self, rows: RequestRows) -> _Prepared:
        volume = rows.create_managed(**self._new)
        args = {"volume": volume, "ref": self._ref}
        return _Prepared(args, volume, (VolumeStatus.MANAGING,), (VolumeStatus.AVAILABLE,))

    def _manage_existing_snapshot(self, rows: RequestRows) -> _Prepared:
        snapshot = rows.create_snapshot(self._volume, self._options.name)
        args = {"snapshot": snapshot, "ref": self._ref}
        return _Prepared(args, snapshot, (SnapshotStatus.CREATING,), (SnapshotStatus.AVAILABLE,))

    @property
    def _image(self) -> dict[str, Any]:
        if not self._options.image:
            raise CommandError(f"{self._options.method} needs --image")
        return {"id": self._options.image}

    @property
    def _ref(self) -> dict[str, str]:
        pairs = [pair.partition("=") for pair in self._options.ref]
        if not pairs or not all(equals for _, equals, _ in pairs):
            text = "needs --ref, such as --ref source-name=lun-1"
            raise CommandError(f"{self._options.method} {text}")
        return {key: value for key, _, value in pairs}

    def _source(self) -> tuple[int, dict[str, str]]:
        """Return the size of the new volume's source, and the column that names it."""
        if self._options.snapshot:
            require(self._snapshot, (SnapshotStatus.AVAILABLE,), "a volume from it")
            return self._snapshot.volume_size, {"snapshot_id": self._snapshot.id}
        source = self._access.volume(self._options.source)
        require(source, _USABLE, "a clone of it")
        return source.size, {"source_volid": source.id}

    def _delete_volume(self, rows: RequestRows) -> _Prepared:
        volume, unmanage, cascade = self._volume, self._options.unmanage, self._options.cascade
        if unmanage and cascade:
            raise CommandError("--unmanage does not go with --cascade: it would lose snapshots")
        during = VolumeStatus.UNMANAGING if unmanage else VolumeStatus.DELETING
        rows.move(volume, during, _DELETABLE, terminated_at=timeutils.utcnow())
        for snapshot in self._access.records.snapshots.of_volume(volume.id) if cascade else ():
            rows.move(snapshot, SnapshotStatus.DELETING, _AT_REST)
        rows.offer(volume, during)
        args = {"volume": volume, "unmanage_only": unmanage, "cascade": cascade}
        return _Prepared(args, volume, (during,), (VolumeStatus.DELETED,))

    def _extend_volume(self, rows: RequestRows) -> _Prepared:
        volume, size = self._volume, self._options.size
        if not size or size <= volume.size:
            text = f"extend_volume needs --size, the new size, more than {volume.size} GiB"
            raise CommandError(text)
        rows.move(volume, VolumeStatus.EXTENDING, _USABLE, previous_status=volume.status)
        more = {"gigabytes": size - volume.size}
        reserved = rows.reserve(volume.project_id, more, volume.volume_type_id)
        args = {"volume": volume, "new_size": size, "reservations": reserved}
        return _Prepared(args, volume, (VolumeStatus.EXTENDING,), _USABLE)

    def _migrate_volume(self, rows: RequestRows) -> _Prepared:
        to, volume = self._extra.pop("host", None), self._volume
        if isinstance(to, str):
            to = {"host": to, "cluster_name": None, "capabilities": {}}
        if not isinstance(to, Mapping) or "#" not in str(to.get("host")):
            raise CommandError("migrate_volume needs --arg host=HOST@BACKEND#POOL")
        before = {"previous_status": volume.status, "migration_status": MigrationStatus.STARTING}
        rows.move(volume, VolumeStatus.MAINTENANCE, (VolumeStatus.AVAILABLE,), **before)
        return _Prepared({"volume": self._access.volume(volume.id), "host": dict(to)}, volume)

    def _create_snapshot(self, rows: RequestRows) -> _Prepared:
        volume = self._volume
        require(volume, _USABLE, "a snapshot of it")
        snapshot = rows.create_snapshot(volume, self._options.name)
        args = {"snapshot": snapshot}
        return _Prepared(args, snapshot, (SnapshotStatus.CREATING,), (SnapshotStatus.AVAILABLE,))

    def _delete_snapshot(self, rows: RequestRows) -> _Prepared:
        snapshot, unmanage = self._snapshot, self._options.unmanage
        during = SnapshotStatus.UNMANAGING if unmanage else SnapshotStatus.DELETING
        rows.move(snapshot, during, _AT_REST)
        args = {"snapshot": snapshot, "unmanage_only": unmanage}
        return _Prepared(args, snapshot, (during,), (SnapshotStatus.DELETED,))

    def _revert_to_snapshot(self, rows: RequestRows) -> _Prepared:
        snapshot, volume = self._snapshot, self._snapshot.volume
        if volume.size != snapshot.volume_size:
            sizes = f"{snapshot.volume_size} GiB, its volume {volume.size}"
            raise CommandError(f"the snapshot has {sizes}: a revert never changes the size")
        rows.move(volume, VolumeStatus.REVERTING, (VolumeStatus.AVAILABLE,))
        rows.move(snapshot, SnapshotStatus.RESTORING, (SnapshotStatus.AVAILABLE,))
        args = {"volume": volume, "snapshot": snapshot}
        return _Prepared(args, volume, (VolumeStatus.REVERTING,), (VolumeStatus.AVAILABLE,))

    @functools.cached_property
    def _volume(self) -> Record:
        if not self._options.volume:
            raise CommandError(f"{self._options.method} needs --volume")
        return self._access.volume(self._options.volume)

    @functools.cached_property
    def _snapshot(self) -> Record:
        if not self._options.snapshot:
            raise CommandError(f"{self._options.method} needs --snapshot")
        return self._access.snapshot(self._options.snapshot)
