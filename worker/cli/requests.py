# SPDX-License-Identifier: Apache-2.0
"""What the API and the scheduler do before a cast: rows and statuses (spec/volume-rpc §1.2)."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.interface.records import Record
from worker.cli.access import Access, CommandError
from worker.rpc import transport
from worker.rpc.clients.volume import METHODS, VolumeClient
from worker.rpc.context import RequestContext


@dataclass(frozen=True)
class Sent:
    """What was sent.

    :param resource: the volume or snapshot that it is about.
    :param during: the statuses while it is being carried out.
    """

    is_cast: bool
    resource: Record | None = None
    during: tuple[str, ...] = ()
    answer: Any = None


_Prepared = tuple[Record | None, tuple[str, ...], dict[str, Any]]


class Ask:
    """One request, made as cinder-api and cinder-scheduler make it.

    :param options: the command line.
    :param extra: further arguments of the method.
    """

    def __init__(
        self, access: Access, options: argparse.Namespace, extra: Mapping[str, Any]
    ) -> None:
        self._access = access
        self._options = options
        self._extra = dict(extra)

    def send(self) -> Sent:
        """Prepare and send. :raises CommandError: it cannot be sent like this."""
        name = self._options.method
        if name not in METHODS:
            raise CommandError(f"no method {name}; known: {', '.join(sorted(METHODS))}")
        prepare: Callable[[], _Prepared] = getattr(self, f"_{name}", self._plain)
        resource, during, args = prepare()
        host = self._host_of(resource)
        client = VolumeClient(transport.get(self._access.conf, slots=1))
        request = RequestContext.admin()
        try:
            if not METHODS[name].answers:
                client.cast(request, host, name, **{**args, **self._extra})
                return Sent(True, resource, during)
            answer = client.call(request, host, name, **{**args, **self._extra})
        except ValueError as error:
            raise CommandError(str(error)) from error
        return Sent(False, resource, answer=answer)

    def _plain(self) -> _Prepared:
        """Any other method: the volume or snapshot in the form that it wants."""
        method = METHODS[self._options.method]
        args: dict[str, Any] = {}
        resource: Record | None = None
        if self._options.snapshot:
            resource = self._snapshot
            args |= {k: v for k, v in (("snapshot", resource), ("snapshot_id", resource.id))}
        if self._options.volume:
            resource = self._volume
            args |= {"volume": resource, "vref": resource, "volume_id": resource.id}
        known = {*method.arguments, *method.optional}
        return resource, (), {name: value for name, value in args.items() if name in known}

    def _create_volume(self) -> _Prepared:
        options, source = self._options, None
        if options.snapshot:
            source = self._snapshot.volume_size
        elif options.source:
            source = self._access.records.volumes.get(options.source).size
        size = options.size or source
        if not size:
            raise CommandError("create_volume needs --size, or --snapshot or --source")
        volume = self._access.records.volumes.create(
            size=size,
            status="creating",
            host=self._host,
            display_name=options.name,
            project_id=options.project,
            user_id=options.project,
            snapshot_id=options.snapshot,
            source_volid=options.source,
            availability_zone=self._access.conf.storage_availability_zone,
        )
        return volume, ("creating", "downloading"), {"volume": volume}

    def _delete_volume(self) -> _Prepared:
        status = "unmanaging" if self._options.unmanage else "deleting"
        records, volume = self._access.records, self._volume
        if self._options.cascade:
            for snapshot in records.snapshots.of_volume(volume.id):
                records.snapshots.transition(
                    snapshot.id, "deleting", when=("available", "error", "error_deleting")
                )
        self._move(volume, status, ("available", "error", "error_deleting", "error_extending"))
        args = {"unmanage_only": self._options.unmanage, "cascade": self._options.cascade}
        return volume, (status,), {"volume": volume, **args}

    def _extend_volume(self) -> _Prepared:
        if not self._options.size:
            raise CommandError("extend_volume needs --size, the new size in GiB")
        volume = self._volume
        self._move(volume, "extending", ("available", "in-use"), previous_status=volume.status)
        args = {"new_size": self._options.size, "reservations": []}
        return volume, ("extending",), {"volume": volume, **args}

    def _create_snapshot(self) -> _Prepared:
        volume = self._volume
        snapshot = self._access.records.snapshots.create(
            volume_id=volume.id,
            volume_size=volume.size,
            volume_type_id=volume.volume_type_id,
            status="creating",
            display_name=self._options.name,
            project_id=volume.project_id,
            user_id=volume.user_id,
        )
        return snapshot, ("creating",), {"snapshot": snapshot}

    def _delete_snapshot(self) -> _Prepared:
        status = "unmanaging" if self._options.unmanage else "deleting"
        snapshot = self._snapshot
        self._access.records.snapshots.transition(
            snapshot.id, status, when=("available", "error", "error_deleting")
        )
        args = {"snapshot": snapshot, "unmanage_only": self._options.unmanage}
        return snapshot, (status,), args

    def _revert_to_snapshot(self) -> _Prepared:
        snapshot = self._snapshot
        volume: Record = snapshot.volume
        self._move(volume, "reverting", ("available",))
        self._access.records.snapshots.transition(snapshot.id, "restoring", when=("available",))
        return volume, ("reverting",), {"volume": volume, "snapshot": snapshot}

    def _move(self, volume: Record, to: str, when: tuple[str, ...], **columns: Any) -> None:
        self._access.records.volumes.transition(volume.id, to, when=when, **columns)

    def _host_of(self, resource: Record | None) -> str:
        if self._options.host or resource is None:
            return self._host
        volume = resource if resource.kind == "volume" else resource.volume
        return str(volume.host)

    @functools.cached_property
    def _volume(self) -> Record:
        if not self._options.volume:
            raise CommandError(f"{self._options.method} needs --volume")
        return self._access.records.volumes.get(self._options.volume)

    @functools.cached_property
    def _snapshot(self) -> Record:
        if not self._options.snapshot:
            raise CommandError(f"{self._options.method} needs --snapshot")
        return self._access.records.snapshots.get(self._options.snapshot)

    @functools.cached_property
    def _host(self) -> str:
        if self._options.host:
            return str(self._options.host)
        services = self._access.records.services.list(binary="cinder-volume")
        hosts = [service.host for service in services]
        if len(hosts) != 1:
            found = ", ".join(hosts) or "none has ever been started"
            raise CommandError(f"say which backend with --host; known: {found}")
        return f"{hosts[0]}#{hosts[0].partition('@')[2]}"
