# SPDX-License-Identifier: Apache-2.0
"""Layout of a backup in its store: Cinder's chunked format 1.0.0 (spec/backup-rpc §7).

A backup with the prefix P is the objects ``P-00001``, ``P-00002``, …, each a part of the
volume; ``P_sha256file`` with the hash of every block; and, written last, ``P_metadata``,
which describes each object. The worker reads Cinder's backups, and Cinder reads the
worker's; but Cinder compares no checksums, so the metadata has more fields:

``crc32``, ``size``
    of each object, and of the hashes, as they are stored;
``zeros``
    of an object that holds nothing but zeros;
``seal``
    the hash of the metadata itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.backup.format import compression
from drivers.interface.errors import BackupDamaged

VERSION = "1.0.0"

METADATA = "_metadata"
BLOCK_HASHES = "_sha256file"

_MD5 = re.compile(r"[0-9a-f]{32}")
_SUFFIX = re.compile(rf"-[0-9]{{5,10}}|{METADATA}|{BLOCK_HASHES}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a backup.

    :param offset: of its data in the volume, in bytes.
    :param length: of its data, in bytes.
    :param compression: under which it is stored.
    :param md5: of its data, hexadecimal.
    :param size: of the object as it is stored, in bytes; None where it is unknown.
    :param crc32: of the object as it is stored; None where it is unknown.
    :param zeros: whether its data is known to be nothing but zeros.
    """

    name: str
    offset: int
    length: int
    compression: str
    md5: str
    size: int | None = None
    crc32: int | None = None
    zeros: bool = False

    @property
    def end(self) -> int:
        """Where the data after it begins."""
        return self.offset + self.length

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in the metadata, and in the checkpoint of a running backup."""
        facts: dict[str, Any] = {
            "offset": self.offset,
            "length": self.length,
            "compression": self.compression,
            "md5": self.md5,
        }
        if self.size is not None:
            facts |= {"size": self.size, "crc32": self.crc32}
        if self.zeros:
            facts["zeros"] = True
        return {self.name: facts}

    @classmethod
    def from_json(cls, entry: Any) -> StoredObject:
        """:raises ValueError: it is no such thing."""
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise ValueError("an entry of its objects is no name with facts")
        [(name, facts)] = entry.items()
        if not isinstance(facts, Mapping):
            raise ValueError(f"object {name} has no facts")
        md5, has_crc32 = str(facts.get("md5")), "crc32" in facts
        if not _MD5.fullmatch(md5):
            raise ValueError(f"object {name} has no md5")
        return cls(
            name=str(name),
            offset=number(facts, "offset"),
            length=number(facts, "length", least=1),
            compression=compression.canonical(facts.get("compression")),
            md5=md5,
            size=number(facts, "size") if has_crc32 else None,
            crc32=number(facts, "crc32") if has_crc32 else None,
            zeros=facts.get("zeros") is True,
        )


def object_name(prefix: str, number: int) -> str:
    """Return the name of an object, the first of which is 1."""
    return f"{prefix}-{number:05d}"


def is_own_name(prefix: str, name: str, backup_id: str = "") -> bool:
    """Return whether an object of this name belongs to the backup with that prefix.

    :param backup_id: of the backup, where its prefixes only begin so.
    """
    if not name.startswith(prefix):
        return False
    if backup_id:
        return prefix_of(name, backup_id) is not None
    return bool(_SUFFIX.fullmatch(name[len(prefix) :]))


def is_own_prefix(prefix: str, backup_id: str) -> bool:
    """Return whether a prefix ends in a backup's whole id, as those of Cinder do.

    No other id, which has neither a slash nor an underscore, ends in the same way.
    """
    head, found = prefix[: -len(backup_id)], prefix[-len(backup_id) :]
    return bool(backup_id) and found == backup_id and (not head or head[-1] in "_/")


def prefix_of(name: str, backup_id: str) -> str | None:
    """Return the prefix of an object of a backup; None where it is another's."""
    head, found, end = name.rpartition(backup_id)
    prefix = f"{head}{found}"
    is_own = is_own_prefix(prefix, backup_id) and bool(_SUFFIX.fullmatch(end))
    return prefix if is_own else None


def require_no_gap(objects: Iterable[StoredObject], backup_id: str) -> None:
    """Refuse a full backup with a gap. :raises BackupDamaged: it has one."""
    for start, end in gaps(objects):
        raise gap(backup_id, start, end)


def gap(backup_id: str, start: int, end: int) -> BackupDamaged:
    """Return the error of a gap in a full backup."""
    text = f"bytes {start} to {end} are in none of its objects"
    return BackupDamaged(f"the full backup {backup_id} has a gap: {text}")


def gaps(objects: Iterable[StoredObject]) -> Iterator[tuple[int, int]]:
    """Yield the ranges before and between objects, which are in order, without overlap."""
    at = 0
    for one in objects:
        if one.offset != at:
            yield at, one.offset
        at = one.end


def number(facts: Any, name: str, least: int = 0) -> int:
    """Return a number among facts. :raises ValueError: there is none such."""
    value = facts.get(name) if isinstance(facts, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"its {name} is {value!r:.40}")
    return value
