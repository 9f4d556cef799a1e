# SPDX-License-Identifier: Apache-2.0
"""Users and their API in one: random operations on volumes and snapshots, for hours.

Keeps the state that cinder-api keeps between a client and the service: statuses that forbid
an operation, quota reservations, attachments. A resource that ended in an error is deleted,
as a user would.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import oslo_messaging
import sqlalchemy as sa
from oslo_config import cfg

from drivers.interface.records import Record
from worker.db import models
from worker.db.database import Database
from worker.db.records import Records
from worker.rpc import objects

HOST, NODE, POOL = "h1@b1", "h1", "b1"
PROJECT, USER = "p" * 32, "u" * 32
_CONNECTOR = {"host": "compute", "ip": "127.0.0.1", "initiator": "iqn.2005-03.org.soak:1"}
_REQUEST = {"user_id": USER, "project_id": PROJECT, "is_admin": False, "roles": ["member"]}
_CALL_TIMEOUT, _TRIES = 10.0, 12
_LARGEST = 8  # GiB
_TRANSIENT = ("creating", "deleting", "extending")
_TABLES = {"volume": models.volumes, "snapshot": models.snapshots}
_CAST = {"volume": "delete_volume", "snapshot": "delete_snapshot"}


@dataclass(eq=False)
class Thing:
    """A volume or snapshot, as its user sees it.

    :param doing: the operation under way, whose end the row will show.
    :param needs: a volume or snapshot that this operation reads.
    :param users: how many operations read this one.
    """

    record: Record
    doing: str = ""
    began: float = 0.0
    needs: Thing | None = None
    users: int = 0
    snapshots: int = 0
    parent: Thing | None = None
    attachment: str = ""
    broken: bool = False

    @property
    def free(self) -> bool:
        """Whether the API lets it be changed."""
        return not (self.doing or self.users or self.broken)

    @property
    def readable(self) -> bool:
        """Whether the API lets it be copied."""
        return not (self.doing or self.broken)


class Traffic:
    """A mixed load on one backend.

    :param most: volumes there are at most.
    """

    def __init__(self, bus: str, database: Database, chance: random.Random, most: int) -> None:
        self.records = Records(database)
        self.things: list[Thing] = []
        self.counts: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._database = database
        self._chance = chance
        self._most = most
        self._pool = ThreadPoolExecutor(4, "calls")
        target = oslo_messaging.Target(
            exchange="openstack", topic=f"cinder-volume.{HOST}", server=NODE, version="3.0"
        )
        transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=bus)
        self._client = oslo_messaging.get_rpc_client(transport, target, timeout=_CALL_TIMEOUT)
        self._quotas = self.records.quotas

    def step(self) -> None:
        """Begin one operation that is possible now."""
        volumes = [t for t in self.things if t.record.kind == "volume"]
        if len(volumes) >= self._most:
            self._clear()
            return
        choices: list[tuple[int, Callable[[], None]]] = [
            (4, self._create),
            (2, self._create_from_snapshot),
            (2, self._create_from_volume),
            (2, self._extend),
            (3, self._snapshot),
            (3, self._attach),
            (3, self._detach),
            (1, self._connect),
            (6, self._clear),
        ]
        weights, works = zip(*choices, strict=True)
        self._chance.choices(works, weights)[0]()

    def settle(self) -> None:
        """Take note of ended operations."""
        for kind, table in _TABLES.items():
            waiting = {t.record.id: t for t in self.casts_under_way() if t.record.kind == kind}
            wanted = sa.select(table).where(table.c.id.in_(list(waiting)))
            for row in self._database.read(lambda c, w=wanted: c.execute(w).all()):  # type: ignore[misc]
                if row.deleted or row.status not in _TRANSIENT:
                    self._ended(waiting[row.id], row)

    def casts_under_way(self) -> list[Thing]:
        """Return a function that waits for the end of a cast."""
        return [t for t in self.things if t.doing and not t.doing.startswith("call")]

    def calls_under_way(self) -> list[Thing]:
        """Return a function that waits for the answer to a call."""
        return [t for t in self.things if t.doing.startswith("call")]

    def expected_files(self) -> dict[str, int]:
        """Return the expected objects of the backend: names and sizes in GiB."""
        found = {}
        for kind, table in _TABLES.items():
            wanted = sa.select(table).where(
                table.c.deleted == sa.false(), table.c.status.not_in(["error", *_TRANSIENT])
            )
            for row in self._database.read(lambda c, w=wanted: c.execute(w).all()):  # type: ignore[misc]
                if kind == "volume":
                    found[f"volume-{row.id}"] = row.size
                else:
                    found[f"volume-{row.volume_id}@snapshot-{row.id}"] = row.volume_size
        return found

    def quota_error(self) -> dict[str, tuple[int, int, int]]:
        """Return resources whose use, reservation and rows do not agree."""
        volumes, snapshots = (self._live(kind) for kind in _TABLES)
        real = {
            "volumes": len(volumes),
            "snapshots": len(snapshots),
            "gigabytes": sum(v.size for v in volumes) + sum(s.volume_size for s in snapshots),
        }
        usages = sa.select(models.quota_usages)
        rows = self._database.read(lambda c: c.execute(usages).all())
        return {
            row.resource: (row.in_use, row.reserved, real[row.resource])
            for row in rows
            if row.resource in real and (row.in_use, row.reserved) != (real[row.resource], 0)
        }

    def begun(self) -> int:
        """Return how many operations were begun."""
        return sum(n for name, n in self.counts.items() if not name.startswith("calls "))

    def casts(self) -> int:
        """Return how many of them were casts."""
        return sum(n for name, n in self.counts.items() if not name.startswith("call"))

    def close(self) -> None:
        """Let the calls end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _live(self, kind: str) -> Any:
        table = _TABLES[kind]
        wanted = sa.select(table).where(table.c.deleted == sa.false())
        return self._database.read(lambda c: c.execute(wanted).all())

    def _pick(self, kind: str, fits: Callable[[Thing], bool]) -> Thing | None:
        found = [t for t in self.things if t.record.kind == kind and fits(t)]
        return self._chance.choice(found) if found else None

    def _create(self) -> None:
        self._volume("create_volume", self._chance.randint(1, 3))

    def _create_from_snapshot(self) -> None:
        if source := self._pick("snapshot", lambda t: t.readable):
            size = int(source.record.volume_size)
            self._volume("create_from_snapshot", size, source, snapshot_id=source.record.id)

    def _create_from_volume(self) -> None:
        if source := self._pick("volume", lambda t: t.readable):
            size = int(source.record.size)
            self._volume("create_from_volume", size, source, source_volid=source.record.id)

    def _volume(self, doing: str, size: int, source: Thing | None = None, **columns: Any) -> None:
        held = self._quotas.reserve(PROJECT, {"volumes": 1, "gigabytes": size})
        record = self.records.volumes.create(
            status="creating",
            size=size,
            host=f"{HOST}#{POOL}",
            user_id=USER,
            project_id=PROJECT,
            **columns,
        )
        self._quotas.commit(held)
        self._begin(Thing(record), doing, "create_volume", source, volume=record)

    def _snapshot(self) -> None:
        volume = self._pick("volume", lambda t: t.readable)
        if volume is None:
            return
        held = self._quotas.reserve(PROJECT, {"snapshots": 1, "gigabytes": volume.record.size})
        record = self.records.snapshots.create(
            status="creating",
            volume_id=volume.record.id,
            volume_size=volume.record.size,
            user_id=USER,
            project_id=PROJECT,
        )
        self._quotas.commit(held)
        volume.snapshots += 1
        thing = Thing(record, parent=volume)
        self._begin(thing, "create_snapshot", "create_snapshot", volume, snapshot=record)

    def _extend(self) -> None:
        volume = self._pick(
            "volume", lambda t: t.free and not t.attachment and t.record.size < _LARGEST
        )
        if volume is None:
            return
        more = self._chance.randint(1, 2)
        held = self._quotas.reserve(PROJECT, {"gigabytes": more})
        self._mark(volume, "extending")
        args = {"new_size": volume.record.size + more, "reservations": held}
        self._begin(volume, "extend_volume", "extend_volume", volume=volume.record, **args)

    def _clear(self) -> None:
        """Delete a broken resource first, else one without dependants."""
        found = [t for t in self.things if not (t.doing or t.users or t.snapshots or t.attachment)]
        if not found:
            self._detach()
            return
        thing = self._chance.choice([t for t in found if t.broken] or found)
        self._mark(thing, "deleting")
        method = _CAST[thing.record.kind]
        self._begin(thing, method, method, **{thing.record.kind: thing.record})

    def _mark(self, thing: Thing, status: str) -> None:
        rows: Any = (
            self.records.volumes if thing.record.kind == "volume" else self.records.snapshots
        )
        rows.update(thing.record.id, status=status)
        thing.record = rows.get(thing.record.id)

    def _begin(
        self, thing: Thing, doing: str, method: str, source: Thing | None = None, **args: Any
    ) -> None:
        thing.doing, thing.began, thing.needs = doing, time.monotonic(), source
        if source is not None:
            source.users += 1
        if thing not in self.things:
            self.things.append(thing)
        self._client.cast(dict(_REQUEST), method, **_encoded(args))
        self.counts[doing] += 1

    def _ended(self, thing: Thing, row: Any) -> None:
        if thing.needs is not None:
            thing.needs.users -= 1
        good = row.deleted if "delete" in thing.doing else row.status in ("available", "in-use")
        if not good:
            self.failed[f"{thing.doing}: {row.status}"] += 1
            thing.broken = "error" in row.status
        thing.doing, thing.needs = "", None
        if row.deleted:
            self.things.remove(thing)
            if thing.parent is not None:
                thing.parent.snapshots -= 1
        elif thing.record.kind == "volume":
            thing.record = self.records.volumes.get(thing.record.id)

    def _attach(self) -> None:
        if volume := self._pick("volume", lambda t: t.free and not t.attachment):
            self._call(volume, "call attach", self._attached)

    def _detach(self) -> None:
        if volume := self._pick("volume", lambda t: t.free and bool(t.attachment)):
            self._call(volume, "call detach", self._detached)

    def _connect(self) -> None:
        if volume := self._pick("volume", lambda t: t.free and not t.attachment):
            self._call(volume, "call connect", self._connected)

    def _call(self, thing: Thing, doing: str, work: Callable[[Thing], None]) -> None:
        thing.doing, thing.began = doing, time.monotonic()
        self.counts[doing] += 1

        def run() -> None:
            try:
                work(thing)
            except Exception as error:  # noqa: BLE001 - any failure is counted
                self.failed[f"{doing}: {type(error).__name__}: {str(error)[:200]}"] += 1
                thing.broken = True
            thing.doing = ""

        self._pool.submit(run)

    def _attached(self, volume: Thing) -> None:
        """As Nova does: reserve, update, complete; an interrupted attach is taken back."""
        rows, volume_id = self.records.attachments, volume.record.id
        volume.attachment = rows.create(volume_id=volume_id, attach_status="reserved").id
        rows.settle_volume(volume_id)
        args = {"connector": _CONNECTOR, "attachment_id": volume.attachment}
        try:
            self._ask("attachment_update", "3.9", vref=volume.record, **args)
        except (oslo_messaging.MessagingTimeout, oslo_messaging.RemoteError):
            self.counts["calls taken back"] += 1
            self._detached(volume)
            return
        rows.update(volume.attachment, attach_status="attached")
        rows.settle_volume(volume_id)

    def _detached(self, volume: Thing) -> None:
        args = {"vref": volume.record, "attachment_id": volume.attachment}
        self._insist("attachment_delete", "3.9", **args)
        self.records.attachments.destroy(volume.attachment)
        self.records.attachments.settle_volume(volume.record.id)
        volume.attachment = ""

    def _connected(self, volume: Thing) -> None:
        self._insist("initialize_connection", "3.0", volume=volume.record, connector=_CONNECTOR)
        args = {"volume_id": volume.record.id, "connector": _CONNECTOR}
        self._insist("terminate_connection", "3.0", **args)

    def _insist(self, method: str, version: str, **args: Any) -> None:
        """Ask until there is an answer, as a caller does whose server was killed."""
        for left in _countdown(_TRIES):
            try:
                self._ask(method, version, **args)
                return
            except oslo_messaging.MessagingTimeout:
                self.counts["calls asked again"] += 1
                if not left:
                    raise

    def _ask(self, method: str, version: str, **args: Any) -> Any:
        client = self._client.prepare(version=version)
        return client.call(dict(_REQUEST), method, **_encoded(args))


def _countdown(tries: int) -> Iterator[int]:
    return iter(range(tries - 1, -1, -1))


def _encoded(args: dict[str, Any]) -> dict[str, Any]:
    made = {"volume": objects.volume, "snapshot": objects.snapshot}
    return {
        name: made[value.kind](value) if isinstance(value, Record) else value
        for name, value in args.items()
    }
