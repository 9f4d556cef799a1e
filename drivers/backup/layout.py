# SPDX-License-Identifier: Apache-2.0
"""What a backup is in its store: Cinder's chunked format 1.0.0 (spec/backup-rpc §7).

A backup with the prefix P is the objects ``P-00001``, ``P-00002``, …, each a part of the
volume; ``P_sha256file`` with the hash of every block; and, written last, ``P_metadata``,
which says what each object is. What Cinder wrote is read, and what is written Cinder
reads; but it compares none of what it stores, so the metadata says more than Cinder's:

``crc32``, ``size``
    of each object, and of the hashes, as they are stored;
``zeros``
    of an object that holds nothing but zeros;
``seal``
    the hash of the metadata itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from drivers.backup import compression
from drivers.interface.errors import BackupDamaged, BackupDriverException

VERSION = "1.0.0"

METADATA = "_metadata"
DIGESTS = "_sha256file"

_NO_SEAL = "0" * 64
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Stored:
    """One object of a backup.

    :param offset: of its data in the volume, in bytes.
    :param length: of its data, in bytes.
    :param compression: under which it is stored.
    :param md5: of its data, hexadecimal.
    :param size: of the object as it is stored, in bytes; None where nobody noted it.
    :param crc32: of the object as it is stored; None where nobody noted it.
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
        """Return it as it stands in the metadata, and in the notes of a backup under way."""
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
    def from_json(cls, entry: Any) -> Stored:
        """:raises ValueError: it is no such thing."""
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise ValueError("an entry of its objects is no name with facts")
        [(name, facts)] = entry.items()
        if not isinstance(facts, Mapping):
            raise ValueError(f"object {name} has no facts")
        stored = cls(
            name=str(name),
            offset=_number(facts, "offset"),
            length=_number(facts, "length", least=1),
            compression=compression.canonical(facts.get("compression")),
            md5=str(facts.get("md5")),
            zeros=facts.get("zeros") is True,
        )
        if not _MD5.fullmatch(stored.md5):
            raise ValueError(f"object {name} has no md5")
        if "crc32" not in facts:
            return stored
        return replace(stored, size=_number(facts, "size"), crc32=_number(facts, "crc32"))


@dataclass(frozen=True)
class Manifest:
    """What ``P_metadata`` says.

    :param volume_meta: the volume's metadata, as JSON in a text; None where none was kept.
    :param objects: in the order of their offsets.
    :param digests: size and CRC-32 of the hashes' object; None where nobody noted them.
    :param sealed: whether it carries its own hash, which is right.
    """

    backup_id: str
    volume_id: str | None
    parent_id: str | None
    objects: Sequence[Stored]
    backup_name: str | None = None
    backup_description: str | None = None
    created_at: str | None = None
    volume_meta: str | None = None
    digests: tuple[int, int] | None = None
    sealed: bool = False

    @property
    def size(self) -> int:
        """Bytes of data in its objects."""
        return sum(one.length for one in self.objects)

    def render(self) -> bytes:
        """Return it as it is stored."""
        document: dict[str, Any] = {
            "version": VERSION,
            "backup_id": self.backup_id,
            "volume_id": self.volume_id,
            "parent_id": self.parent_id,
            "backup_name": self.backup_name,
            "backup_description": self.backup_description,
            "created_at": self.created_at,
            "volume_meta": self.volume_meta,
            "objects": [one.to_json() for one in self.objects],
        }
        if self.digests is not None:
            document["sha256file"] = {"size": self.digests[0], "crc32": self.digests[1]}
        return _sealed(document)


def object_name(prefix: str, number: int) -> str:
    """Return the name of an object, the first of which is 1."""
    return f"{prefix}-{number:05d}"


def parse(data: bytes, prefix: str, backup_id: str) -> Manifest:
    """Read a backup's metadata, and believe nothing of it.

    :param prefix: with which all names of its objects begin.
    :raises BackupDriverException: it is of another version of the format.
    :raises BackupDamaged: it is not what was written.
    """
    name = f"{prefix}{METADATA}"
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BackupDamaged(f"{name} of backup {backup_id} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise BackupDamaged(f"{name} of backup {backup_id} is no metadata")
    sealed = _check_seal(document, data, f"{name} of backup {backup_id}")
    if document.get("version") != VERSION:
        text = f"has the format {document.get('version')!r:.40}; {VERSION} can be read"
        raise BackupDriverException(f"backup {backup_id} {text}")
    try:
        return _manifest(document, prefix, backup_id, sealed)
    except ValueError as error:
        raise BackupDamaged(f"{name} of backup {backup_id} is wrong: {error}") from error


def require_whole(objects: Iterable[Stored], backup_id: str) -> None:
    """Refuse a full backup with a gap. :raises BackupDamaged: it has one."""
    at = 0
    for one in objects:
        if one.offset != at:
            text = f"bytes {at} to {one.offset} are in none of its objects"
            raise BackupDamaged(f"the full backup {backup_id} has a gap: {text}")
        at = one.end


def _manifest(document: dict[str, Any], prefix: str, backup_id: str, sealed: bool) -> Manifest:
    if document.get("backup_id") != backup_id:
        raise ValueError(f"it is that of backup {document.get('backup_id')!r:.60}")
    entries = document.get("objects")
    if not isinstance(entries, list):
        raise ValueError("it lists no objects")
    objects = sorted((Stored.from_json(entry) for entry in entries), key=lambda one: one.offset)
    _check_names(objects, prefix)
    for before, after in zip(objects, objects[1:], strict=False):
        if after.offset < before.end:
            raise ValueError(f"{before.name} and {after.name} hold the same part of the volume")
    digests = document.get("sha256file")
    if not sealed and (digests is not None or any(one.size is not None for one in objects)):
        raise ValueError("it has lost its seal")
    volume_meta = document.get("volume_meta")
    return Manifest(
        backup_id=backup_id,
        volume_id=_text(document, "volume_id"),
        parent_id=_text(document, "parent_id"),
        objects=objects,
        backup_name=_text(document, "backup_name"),
        backup_description=_text(document, "backup_description"),
        created_at=_text(document, "created_at"),
        volume_meta=None if volume_meta is None else str(volume_meta),
        digests=None if digests is None else (_number(digests, "size"), _number(digests, "crc32")),
        sealed=sealed,
    )


def _check_names(objects: Sequence[Stored], prefix: str) -> None:
    """A name is part of a path: it is ours, and never leads anywhere else."""
    ours = re.compile(re.escape(prefix) + r"-\d{5,}")
    names = [one.name for one in objects]
    for name in names:
        if not ours.fullmatch(name):
            raise ValueError(f"{name!r:.120} is no object of this backup")
    if len(set(names)) != len(names):
        raise ValueError("it lists an object twice")


def _sealed(document: dict[str, Any]) -> bytes:
    blank = _rendered({**document, "seal": _NO_SEAL})
    return _rendered({**document, "seal": hashlib.sha256(blank).hexdigest()})


def _check_seal(document: dict[str, Any], data: bytes, what: str) -> bool:
    """Say whether metadata carries its hash. :raises BackupDamaged: it is another one's."""
    if "seal" not in document:
        return False
    rest = {name: value for name, value in document.items() if name != "seal"}
    if _sealed(rest) != data:
        raise BackupDamaged(f"{what} is not as it was written: its seal is broken")
    return True


def _rendered(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, indent=2).encode()


def _number(facts: Any, name: str, least: int = 0) -> int:
    value = facts.get(name) if isinstance(facts, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"its {name} is {value!r:.40}")
    return value


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return None if value is None else str(value)
