# SPDX-License-Identifier: Apache-2.0
"""The operations of a load: each makes its rows as an API does, and then casts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.cluster.load.attaching import attach_and_detach
from tests.cluster.load.cloud import ClusterCloud
from tests.cluster.load.ledger import GONE, Entry
from tests.cluster.load.stock import Item, Stock


@dataclass
class Planned:
    """An operation whose rows are there.

    :param uses: the resources that no other operation may use meanwhile.
    :param send: casts it; calls, and returns how it ended, where ``waits`` is set.
    :param new: the resource that it makes.
    :param gone: the resource that it deletes.
    """

    entry: Entry
    uses: tuple[str, ...]
    send: Callable[[], str | None]
    new: Item | None = None
    gone: str = ""
    size: int = 0
    waits: bool = False


class Maker:
    """Makes operations.

    :param slow: the part of the operations that take seconds in the driver.
    :param longest: the most seconds that one takes.
    """

    def __init__(
        self,
        cloud: ClusterCloud,
        stock: Stock,
        chance: random.Random,
        slow: float = 0.25,
        longest: float = 6.0,
    ) -> None:
        self._cloud = cloud
        self._stock = stock
        self._chance = chance
        self._slow = slow
        self._longest = longest

    def make(self, backups: bool = True) -> Planned | None:
        """Make one operation at random; None if its resources are missing now."""
        kinds: list[tuple[int, Callable[[], Planned | None]]] = [
            (30, self.create),
            (10, self.from_snapshot),
            (8, self.clone),
            (10, self.extend),
            (14, self.snapshot),
            (12, self.delete_snapshot),
            (16, self.delete),
            (8, self.attach),
        ]
        if backups:
            kinds += [(6, self.backup), (4, self.restore), (5, self.delete_backup)]
        weights = [weight for weight, _make in kinds]
        return self._chance.choices([make for _weight, make in kinds], weights)[0]()

    def create(self) -> Planned:
        """An empty volume."""
        return self._new_volume("create_volume", ())

    def from_snapshot(self) -> Planned | None:
        """A volume with the data of a snapshot."""
        snapshot = self._stock.free("snapshot")
        if snapshot is None:
            return None
        return self._new_volume(
            "create_volume", (snapshot.id,), snapshot_id=snapshot.id, size=snapshot.size
        )

    def clone(self) -> Planned | None:
        """A copy of a volume."""
        source = self._stock.free("volume")
        if source is None:
            return None
        return self._new_volume(
            "create_volume", (source.id,), source_volid=source.id, size=source.size
        )

    def extend(self) -> Planned | None:
        """A larger volume."""
        item = self._stock.free("volume", lambda one: one.size < 4)
        if item is None:
            return None
        volume = self._cloud.records.volumes.update(item.id, status="extending")
        entry = Entry("extend_volume", "volume", item.id, "extending", "available")
        size = item.size + 1
        more = {"new_size": size, "reservations": []}

        def send() -> None:
            row = volume or self._cloud.records.volumes.get(item.id)
            self._cloud.send(entry.request, "extend_volume", volume=row, **more)

        return Planned(entry, (item.id,), send, size=size)

    def snapshot(self) -> Planned | None:
        """A snapshot of a volume."""
        item = self._stock.free("volume")
        if item is None:
            return None
        volume = self._cloud.records.volumes.get(item.id)
        row = self._cloud.snapshot(volume, display_name=self._name())
        entry = Entry("create_snapshot", "snapshot", row.id, "creating", "available")
        new = Item("snapshot", row.id, size=item.size, parent=item.id)
        return self._planned(entry, (item.id, row.id), new=new, snapshot=row)

    def delete_snapshot(self) -> Planned | None:
        """A snapshot that goes."""
        item = self._stock.free("snapshot")
        if item is None:
            return None
        self._cloud.records.snapshots.update(item.id, status="deleting")
        row = self._cloud.records.snapshots.get(item.id)
        entry = Entry("delete_snapshot", "snapshot", item.id, "deleting", GONE)
        return self._planned(entry, (item.id, item.parent), gone=item.id, snapshot=row)

    def delete(self) -> Planned | None:
        """A volume that goes."""
        item = self._stock.free("volume", lambda one: not one.children)
        if item is None or self._stock.count("volume") < 4:
            return None
        self._cloud.records.volumes.update(item.id, status="deleting")
        row = self._cloud.records.volumes.get(item.id)
        entry = Entry("delete_volume", "volume", item.id, "deleting", GONE)
        return self._planned(entry, (item.id,), gone=item.id, volume=row)

    def attach(self) -> Planned | None:
        """Calls that attach a volume and detach it again."""
        item = self._stock.free("volume")
        if item is None:
            return None
        entry = Entry("attach", "call", item.id, "waiting", "answered")

        def call() -> str:
            return attach_and_detach(self._cloud, item.id, entry.request)

        return Planned(entry, (item.id,), call, waits=True)

    def backup(self) -> Planned | None:
        """A backup of a volume."""
        item = self._stock.free("volume")
        if item is None:
            return None
        self._cloud.records.volumes.update(
            item.id, status="backing-up", previous_status="available"
        )
        volume = self._cloud.records.volumes.get(item.id)
        host = self._chance.choice(self._cloud.hosts)
        row = self._cloud.backup(volume, host=host)
        entry = Entry("create_backup", "backup", row.id, "creating", "available")
        new = Item("backup", row.id, size=item.size, parent=item.id)
        return self._planned_backup(entry, (item.id, row.id), host, new=new, backup=row)

    def restore(self) -> Planned | None:
        """A backup that is written into a volume."""
        backup = self._stock.free("backup")
        if backup is None:
            return None
        target = self._stock.free("volume", lambda one: one.size == backup.size)
        if target is None:
            return None
        host = self._chance.choice(self._cloud.hosts)
        records = self._cloud.records
        records.backups.update(
            backup.id, status="restoring", restore_volume_id=target.id, host=host
        )
        records.volumes.update(target.id, status="restoring-backup")
        row = records.backups.get(backup.id)
        entry = Entry("restore_backup", "backup", backup.id, "restoring", "available")
        more = {"backup": row, "volume_id": target.id, "volume_is_new": False}
        return self._planned_backup(entry, (backup.id, target.id), host, **more)

    def delete_backup(self) -> Planned | None:
        """A backup that goes."""
        item = self._stock.free("backup")
        if item is None:
            return None
        host = self._chance.choice(self._cloud.hosts)
        self._cloud.records.backups.update(item.id, status="deleting", host=host)
        row = self._cloud.records.backups.get(item.id)
        entry = Entry("delete_backup", "backup", item.id, "deleting", GONE)
        return self._planned_backup(entry, (item.id,), host, gone=item.id, backup=row)

    def _new_volume(self, method: str, uses: tuple[str, ...], **columns: Any) -> Planned:
        row = self._cloud.volume(display_name=self._name(), **columns)
        entry = Entry(method, "volume", row.id, "creating", "available")
        new = Item("volume", row.id, size=row.size)
        return self._planned(entry, (*uses, row.id), new=new, volume=row)

    def _planned(
        self,
        entry: Entry,
        uses: tuple[str, ...],
        *,
        new: Item | None = None,
        gone: str = "",
        **args: Any,
    ) -> Planned:
        def send() -> None:
            self._cloud.send(entry.request, entry.method, **args)

        return Planned(entry, uses, send, new, gone)

    def _planned_backup(
        self,
        entry: Entry,
        uses: tuple[str, ...],
        host: str,
        *,
        new: Item | None = None,
        gone: str = "",
        **args: Any,
    ) -> Planned:
        def send() -> None:
            self._cloud.send_backup(entry.request, entry.method, host, **args)

        return Planned(entry, uses, send, new, gone)

    def _name(self) -> str:
        """Return a name by which the driver knows how long the calls take."""
        if self._chance.random() >= self._slow:
            return "v"
        return f"slow:{self._chance.uniform(0.5, self._longest):.1f} v"
