# SPDX-License-Identifier: Apache-2.0
"""Lists of a store, which it may make longer than any backup: read as they come, to a limit."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from drivers.backup.format import layout
from drivers.backup.format.object_list import ObjectList
from drivers.backup.stores.object_store import ObjectStore, StoreError
from drivers.interface.errors import BackupDamaged

MAX_LISTED = 5_000_000
"""Objects of one backup at most: more do not fit into its metadata."""

_SPARE = 1000
"""Unknown objects that are counted for the text of an error, besides the known ones."""

_BATCH = 10_000
"""Names that are in memory together."""


def own_names(store: ObjectStore, container: str, prefix: str) -> Iterator[list[str]]:
    """Yield the names of a backup's objects in batches; those that were yielded may be deleted.

    :raises StoreError: the list does not end.
    """
    listed = (name for name, _size in store.listed(container, prefix))
    for _batch in range(0, MAX_LISTED, _BATCH):
        if not (batch := list(islice(listed, _BATCH))):
            return
        yield [name for name in batch if layout.is_own_name(prefix, name)]
    if next(listed, None) is not None:
        text = f"more than {MAX_LISTED} objects {prefix}*, more than a backup has"
        raise StoreError(f"{container} lists {text}")


def own_prefixes(
    store: ObjectStore, container: str, begin: str, backup_id: str, end: str = ""
) -> set[str]:
    """Return the prefixes under which a backup has objects.

    :param begin: of the prefixes.
    :param end: of the names that are looked for.
    """
    names = (name for name, _size in islice(store.listed(container, begin), MAX_LISTED))
    found = (layout.prefix_of(name, backup_id) for name in names if name.endswith(end))
    return {prefix for prefix in found if prefix is not None}


def require_listed(
    store: ObjectStore,
    container: str,
    prefix: str,
    objects: ObjectList,
    block_hashes: int | None,
    label: str,
    *,
    only_strange: bool = False,
) -> None:
    """Check that the store lists the objects of a backup, with their lengths, and no others.

    :param block_hashes: size of the object with the hashes; None where it is unknown.
    :param label: of the backup, in the text of an error.
    :param only_strange: check for others only; whatever reads the objects finds the rest.
    :raises BackupDamaged: the list differs.
    """
    comparison = _Comparison(prefix, objects)
    for number, (name, size) in enumerate(store.listed(container, prefix)):
        if number > len(objects) + _SPARE:
            text = f"lists more than the {len(objects)} objects of {label}"
            raise BackupDamaged(f"{container} {text}, such as {name:.120}")
        comparison.add(name, size)
    comparison.compare(block_hashes)
    comparison.require_equal(label, only_strange=only_strange)


@dataclass
class _Found:
    """Names of one kind, of which the first one is reported."""

    first: str = ""
    count: int = 0

    def add(self, name: str) -> None:
        self.first = min(name, self.first or name)
        self.count += 1

    @property
    def more(self) -> str:
        return f" (and {self.count - 1} more)" if self.count > 1 else ""


class _Comparison:
    """Names of a list, as numbers, and those of the objects that a backup has."""

    def __init__(self, prefix: str, objects: ObjectList) -> None:
        self._objects = objects
        self._buckets = [(array("Q"), array("Q")) for _ in range(objects.buckets)]
        self._hashes = f"{prefix}{layout.BLOCK_HASHES}"
        self._others: dict[str, int | None] = {
            self._hashes: None,
            f"{prefix}{layout.METADATA}": None,
        }
        self._missing, self._strange = _Found(), _Found()
        self._wrong: list[tuple[str, int, int]] = []

    def add(self, name: str, size: int) -> None:
        """Add a name of the list."""
        key = self._objects.key(name)
        if name in self._others:
            self._others[name] = size
        elif key is None:
            self._strange.add(name)
        else:
            keys, sizes = self._buckets[key % len(self._buckets)]
            keys.append(key)
            sizes.append(size)

    def compare(self, block_hashes: int | None) -> None:
        """Compare all of them, one bucket after another."""
        for bucket, (keys, sizes) in enumerate(self._buckets):
            listed = dict(zip(keys, sizes, strict=True))
            for key, wanted in self._objects.names(bucket, len(self._buckets)):
                self._compare(self._objects.name(key), listed.pop(key, None), wanted)
            for key in listed:
                self._strange.add(self._objects.name(key))
        if block_hashes is not None:
            self._compare(self._hashes, self._others[self._hashes], block_hashes)

    def _compare(self, name: str, found: int | None, wanted: int | None) -> None:
        if found is None:
            self._missing.add(name)
        elif wanted not in (None, found) and not self._wrong:
            self._wrong.append((name, found, wanted or 0))

    def require_equal(self, label: str, *, only_strange: bool = False) -> None:
        """:raises BackupDamaged: the first difference."""
        missing, strange = self._missing, self._strange
        if missing.count and not only_strange:
            raise BackupDamaged(f"{missing.first} of {label} is missing{missing.more}")
        if strange.count:
            text = f"is no object of {label}, yet it has such a name"
            raise BackupDamaged(f"{strange.first} {text}{strange.more}")
        for name, found, wanted in () if only_strange else self._wrong:
            raise BackupDamaged(f"{name} is damaged: it has {found} bytes, not {wanted}")
