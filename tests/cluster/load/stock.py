# SPDX-License-Identifier: Apache-2.0
"""The resources that a load has made, and which of them no operation uses now."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass
class Item:
    """One resource.

    :param size: of a volume, in GiB.
    :param parent: the volume of a snapshot or a backup.
    :param children: ids of the snapshots of a volume.
    :param users: how many running operations use it.
    """

    kind: str
    id: str
    size: int = 1
    parent: str = ""
    children: set[str] = field(default_factory=set)
    users: int = 0
    broken: bool = False


class Stock:
    """All resources, by id."""

    def __init__(self, chance: random.Random) -> None:
        self.items: dict[str, Item] = {}
        self._chance = chance

    def add(self, item: Item) -> Item:
        """Note a resource that is being made."""
        self.items[item.id] = item
        if item.kind == "snapshot" and item.parent in self.items:
            self.items[item.parent].children.add(item.id)
        return item

    def drop(self, id_: str) -> None:
        """Forget a resource that is gone."""
        item = self.items.pop(id_, None)
        if item is not None and item.parent in self.items:
            self.items[item.parent].children.discard(id_)

    def free(self, kind: str, wanted: Callable[[Item], bool] = lambda _item: True) -> Item | None:
        """Return a resource of a kind that no operation uses; None if there is none."""
        found = [
            item
            for item in self.items.values()
            if item.kind == kind and not item.users and not item.broken and wanted(item)
        ]
        return self._chance.choice(found) if found else None

    def count(self, kind: str) -> int:
        """Return how many there are of a kind."""
        return sum(item.kind == kind for item in self.items.values())

    def use(self, ids: Iterable[str]) -> None:
        """Keep resources from other operations."""
        for id_ in ids:
            if id_ in self.items:
                self.items[id_].users += 1

    def release(self, ids: Iterable[str]) -> None:
        """Give them back."""
        for id_ in ids:
            if id_ in self.items:
                self.items[id_].users -= 1
