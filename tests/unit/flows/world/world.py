# SPDX-License-Identifier: Apache-2.0
"""Everything around a flow, as plain objects: it can be killed at any effect.

An effect is a call that changes something outside the flow: of the driver, a
record, the notifier, the scheduler. After a kill nothing has effects any more,
not even a ``finally``, until :meth:`World.revive`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.interface.records import Record
from flows import errors, factories
from flows.context import Options, VolumeServiceContext
from flows.engine import flow_run
from flows.protocols.encryption_keys import NoKeys
from tests.unit.flows.cached_images import ImageCache, Locks, Operations
from tests.unit.flows.world import records
from tests.unit.flows.world.backend import RecordingDriver
from tests.unit.flows.world.doubles import Killed, Noted, Patient, Request, Watched
from tests.unit.flows.world.images import Images
from tests.unit.flows.world.journal import JsonJournal
from tests.unit.flows.world.remote_services import Compute, Elsewhere
from tests.unit.flows.world.rows import Database
from worker.adapters.host_attach import HostAttacher
from worker.adapters.record_cache import RecordCache

HOST = "node@backend#pool"
_DATABASE = ("volumes", "snapshots", "attachments", "quotas", "workers", "service", "image_cache")
NAMESPACE = "backend"


class Backend:
    name, host = "backend", "node@backend"
    service_uuid = "service-uuid"
    cluster: str | None = None

    def __init__(self, world: World) -> None:
        self._world = world
        self.reports = 0

    def require_driver(self) -> Any:
        self._world.require_life()
        if not self._world.driver_up:
            raise errors.DriverNotInitialized("backend backend is not initialized: no reason")
        return self._world.watched_driver

    def any_driver(self) -> Any:
        self._world.require_life()
        return self._world.watched_driver

    def stats(self) -> Mapping[str, Any]:
        return self._world.stats

    def request_report(self) -> None:
        self.reports += 1

    def initiator_namespace(self) -> str:
        return NAMESPACE


class World:
    """A database, a backend and a bus; rows are remembered as the service does it.

    :param gathers: how the journal writes, see :class:`JsonJournal`.
    """

    def __init__(self, directory: Path, gathers: bool = True) -> None:
        self.db = Database()
        self.driver, self.driver_up = RecordingDriver(directory), True
        self.watched_driver: Any = Watched(self.driver, "driver", self)
        self.initiators = records.Initiators()
        self.notifier, self.messages, self.scheduler = Noted(), Noted(), Noted()
        self.images = Images()
        self.keys: Any = NoKeys()
        self.backups: Any = Noted()
        self.backup_service: Any = Noted()
        self.compute = Compute(self.db)
        self.elsewhere = Elsewhere(self.db, self.driver, directory)
        self.attacher = HostAttacher("no-such-helper", address="192.0.2.1")
        self.backend = Backend(self)
        self.service = records.Service()
        self.stats: dict[str, Any] = {"storage_protocol": "iSCSI"}
        self.options = Options()
        self.request = Request()
        self.stopping: threading.Event = Patient()
        self.effects: list[str] = []
        self.dead = False
        self.blow: tuple[int, str, type[BaseException]] | None = None
        self.journal = JsonJournal(gathers)
        self.operations = Operations(self)

    def context(self, resumed: bool = False, deferrals: int = 0) -> VolumeServiceContext:
        def watch(target: Any, name: str) -> Any:
            return Watched(target, name, self)

        ctx = VolumeServiceContext(
            request=self.request,
            backend=self.backend,
            volumes=watch(records.Volumes(self.db), "volumes"),
            snapshots=watch(records.Snapshots(self.db), "snapshots"),
            attachments=watch(records.Attachments(self.db), "attachments"),
            groups={k: watch(records.Groups(self.db, k), f"groups-{k}") for k in self.db.groups},
            backups=watch(self.backups, "backups"),
            backup_service=watch(self.backup_service, "backup_service"),
            quotas=watch(self.db.quota, "quotas"),
            workers=watch(records.Work(self.db), "workers"),
            messages=watch(self.messages, "messages"),
            initiators=watch(self.initiators, "initiators"),
            notifier=watch(self.notifier, "notifier"),
            scheduler=watch(self.scheduler, "scheduler"),
            images=watch(self.images, "images"),
            keys=self.keys,
            service=watch(self.service, "service"),
            operations=watch(self.operations, "operations"),
            image_cache=watch(ImageCache(self.db), "image_cache"),
            locks=Locks(),
            host=watch(records.Host(self.db), "host"),
            volume_service=watch(self.elsewhere, "elsewhere"),
            attacher=watch(self.attacher, "attacher"),
            compute=watch(self.compute, "compute"),
            types=records.Types(self.db),
            services=records.Services(),
            options=self.options,
            resumed=resumed,
            deferrals=deferrals,
            stopping=self.stopping,
        )
        return RecordCache().around(ctx)

    def run(
        self,
        factory: factories.Factory,
        *,
        resumed: bool = False,
        revert: bool = False,
        **args: Any,
    ) -> flow_run.Outcome:
        """Run a cast, from its start or from the journal, and the operations that it starts."""
        if resumed:
            self.operations.run(resumed=True)
        outcome = self.run_in(self.journal, factory, args, resumed=resumed, revert=revert)
        if outcome.waits_for is not None:
            self.operations.run(resumed=False)
            context = self.context(resumed=True, deferrals=1)
            outcome = self.run_in(self.journal, factory, args, context=context)
        self.operations.run(resumed=False)
        return outcome

    def run_in(
        self,
        journal: JsonJournal,
        factory: factories.Factory,
        args: Mapping[str, Any],
        *,
        resumed: bool = False,
        revert: bool = False,
        context: VolumeServiceContext | None = None,
    ) -> flow_run.Outcome:
        """Run one operation, from its start or from its journal."""
        ctx = context or self.context(resumed)
        running = flow_run.FlowRun(factory, args, ctx, journal.load(), journal)
        cause = errors.OperationInterrupted("cut short too often") if revert else None
        outcome = running.run(revert=cause)
        if outcome.waits_for is not None:
            journal.flush()
        return outcome

    def call(self, factory: factories.Factory, **args: Any) -> Any:
        """Run a call; return its answer or raise the caller's error."""
        outcome = flow_run.run_in_memory(factory, args, self.context())
        if outcome.failure is not None:
            assert outcome.failure.exception is not None
            raise outcome.failure.exception
        return outcome.result

    def strike_at(self, number: int, moment: str, error: type[BaseException] = Killed) -> None:
        """Raise an error before or after an effect, counted from here."""
        self.effects.clear()
        self.blow = (number, moment, error)

    def strike(self, moment: str, name: str) -> None:
        if self.blow is None:
            return
        number, wanted, error = self.blow
        # Only records can be away; a driver that raises is another matter.
        if len(self.effects) - 1 == number and moment == wanted and _can(error, name):
            self.blow, self.dead = None, error is Killed
            raise error(f"{moment} {name}")

    def require_life(self) -> None:
        if self.dead:
            raise Killed("dead already")

    def revive(self) -> None:
        self.dead = False

    def volume(self, volume_id: str = "v1") -> dict[str, Any]:
        """Return a row, a deleted one too."""
        return self.db.volumes.rows[volume_id]

    def snapshot(self, snapshot_id: str = "s1") -> dict[str, Any]:
        """Return a row, a deleted one too."""
        return self.db.snapshots.rows[snapshot_id]

    def add_volume(self, volume_id: str = "v1", *, made: bool = True, **columns: Any) -> str:
        """Add a row with its quota and, when made, its object on the backend."""
        given = {"project_id": "p", "user_id": "u", "host": HOST, "size": 1, "use_quota": True}
        given |= {"volume_type_id": "t1", "status": "available", "attach_status": "detached"}
        row = self.db.volumes.insert({"id": volume_id, **given, **columns})
        if row["use_quota"] and isinstance(row["size"], int):
            self.db.quota.used["volumes"] += 1
            self.db.quota.used["gigabytes"] += row["size"]
        if row["status"] in ("creating", "deleting", "unmanaging"):
            self.db.work["Volume", volume_id] = "nobody's"
        if made:
            self.driver.objects.add(f"volume-{volume_id}")
        return volume_id

    def add_snapshot(
        self, snapshot_id: str = "s1", volume_id: str = "v1", *, made: bool = True, **columns: Any
    ) -> str:
        """Add a row with its quota and, when made, its object on the backend."""
        given = {"volume_id": volume_id, "project_id": "p", "user_id": "u", "use_quota": True}
        given |= {"volume_size": 1, "volume_type_id": "t1", "status": "available"}
        row = self.db.snapshots.insert({"id": snapshot_id, **given, **columns})
        if row["use_quota"]:
            self.db.quota.used["snapshots"] += 1
            self.db.quota.used["gigabytes"] += row["volume_size"]
        if row["status"] == "creating":
            self.db.work["Snapshot", snapshot_id] = "nobody's"
        if made:
            self.driver.objects.add(f"snapshot-{snapshot_id}")
        return snapshot_id

    def cache(self, volume_id: str, image_id: str = "i1", **columns: Any) -> None:
        """Add an entry of a volume to the image-volume cache."""
        row = self.volume(volume_id)
        place = {name: row[name] for name in ("host", "cluster_name", "size")}
        given = {"id": 100 + len(self.db.image_cache), "image_id": image_id, "volume_id": volume_id}
        self.db.image_cache.append({**given, "image_updated_at": None, **place, **columns})

    def add_attachment(
        self, attachment_id: str = "a1", volume_id: str = "v1", **columns: Any
    ) -> str:
        given = {"id": attachment_id, "volume_id": volume_id, "attach_status": "attached"}
        return str(self.db.attachments.insert({**given, **columns})["id"])

    def add_group(self, kind: str = "group", status: str = "creating", **columns: Any) -> str:
        """Add a group ``g1`` and its quota."""
        given = {"project_id": "p", "user_id": "u", "host": HOST, "status": status}
        row = self.db.groups[kind].insert({"id": "g1", **given, **columns})
        if kind == "group":
            self.db.quota.used["groups"] = self.db.quota.used.get("groups", 0) + 1
        return str(row["id"])

    def notified(self) -> list[str]:
        """Return the events, with their kind, in order."""
        return [f"{kind}.{args[1]}" for kind, args, _ in self.notifier.calls]

    def messaged(self) -> list[tuple[str, str]]:
        """Return action and detail of the user messages."""
        return [(named["action"], named["detail"]) for _, _, named in self.messages.calls]

    def shown(self, event: str) -> Record:
        """Return the payload of an event."""
        (found,) = (a[2] for kind, a, _ in self.notifier.calls if f"{kind}.{a[1]}" == event)
        return found  # type: ignore[no-any-return]


def _can(error: type[BaseException], name: str) -> bool:
    kind = name.split(".")[0]
    return error is Killed or kind in _DATABASE or kind.startswith("groups-")
