# SPDX-License-Identifier: Apache-2.0
"""``P_metadata``: which objects a backup has, written and read a few at a time.

A fragmented incremental backup has 100,000 objects, and 31 MiB of metadata. As dicts, or
as lists of parts of a text, they take ten times as much: they are written a few at a
time, and :mod:`.manifest_stream` reads them one by one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from oslo_utils import units

from drivers.backup.format import bounds as bounding
from drivers.backup.format.bounds import Bounds
from drivers.backup.format.layout import (
    METADATA,
    VERSION,
    StoredObject,
    number,
)
from drivers.backup.format.manifest_stream import NO_SEAL, SEAL_BEGIN, ManifestStream
from drivers.backup.format.object_list import ObjectList
from drivers.backup.stores.object_store import ObjectSink
from drivers.interface.errors import BackupDamaged, BackupDriverException

MAX_SIZE = 512 * units.Mi
"""Bytes of metadata at most: neither more is read, nor is it written."""

_BATCH = 1024
"""Objects that are text together."""

_NO_OBJECTS = b'\n  "objects": []'
_FACTS = json.JSONEncoder(sort_keys=True, separators=(",\n        ", ": "))


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``P_metadata``.

    :param volume_meta: the volume's metadata, as JSON in a text; None where none was kept.
    :param objects: in the order of their offsets.
    :param block_hashes: size and CRC-32 of the hashes' object; None where they are unknown.
    :param sealed: whether it carries its own hash, which is right.
    """

    backup_id: str
    volume_id: str | None
    parent_id: str | None
    objects: Sequence[StoredObject]
    backup_name: str | None = None
    backup_description: str | None = None
    created_at: str | None = None
    volume_meta: str | None = None
    block_hashes: tuple[int, int] | None = None
    sealed: bool = False

    @property
    def size(self) -> int:
        """Bytes of data in its objects."""
        return sum(one.length for one in self.objects)

    def write(self, sink: ObjectSink) -> None:
        """Write it as it is stored.

        :raises BackupDriverException: it is too large to be read again.
        """
        size = 0
        for part in self.rendered():
            size += len(part)
            if size > MAX_SIZE:
                text = (
                    f"the list of its {len(self.objects)} objects is larger than {MAX_SIZE} bytes"
                )
                raise BackupDriverException(f"backup {self.backup_id}: {text}; make a full one")
            sink.write(part)

    def rendered(self) -> Iterator[bytes]:
        """Yield it as it is stored, in parts."""
        document: dict[str, Any] = {
            "version": VERSION,
            "backup_id": self.backup_id,
            "volume_id": self.volume_id,
            "parent_id": self.parent_id,
            "backup_name": self.backup_name,
            "backup_description": self.backup_description,
            "created_at": self.created_at,
            "volume_meta": self.volume_meta,
            "objects": [],
            "seal": NO_SEAL.decode(),
        }
        if self.block_hashes is not None:
            document["sha256file"] = {"size": self.block_hashes[0], "crc32": self.block_hashes[1]}
        text = json.dumps(document, sort_keys=True, indent=2).encode()
        head, tail = text.split(_NO_OBJECTS)
        sealing = hashlib.sha256()
        for part in chain([head + _NO_OBJECTS[:-2]], _listed(self.objects)):
            sealing.update(part)
            yield part
        sealing.update(tail)
        at = tail.index(SEAL_BEGIN) + len(SEAL_BEGIN)
        yield tail[:at] + sealing.hexdigest().encode() + tail[at + len(NO_SEAL) :]


def read(
    parts: Iterable[bytes],
    prefix: str,
    backup_id: str,
    bounds: Bounds = bounding.ANY,
    directory: Path | None = None,
) -> Manifest:
    """Read a backup's metadata, and believe nothing of it.

    :param prefix: with which all names of its objects begin.
    :param directory: for a temporary file with a long list of objects.
    :raises BackupDriverException: it is of another version of the format.
    :raises BackupDamaged: it is not as it was written, or larger than its row allows.
    """
    label, size = f"{prefix}{METADATA} of backup {backup_id}", 0
    objects = ObjectList(prefix, directory)
    stream = ManifestStream(label, bounds, objects)
    most = min(MAX_SIZE, stream.max_size)
    for part in bounding.joined(parts):
        size += len(part)
        if size > most:
            raise BackupDamaged(f"{label} has more than {most} bytes: it is too much to be any")
        stream.feed(part)
    document, seal = stream.end()
    if not isinstance(document, dict):
        raise BackupDamaged(f"{label} is no metadata")
    if "seal" in document and (seal is None or document["seal"] != seal):
        raise BackupDamaged(f"{label} is not as it was written: its seal is broken")
    if document.get("version") != VERSION:
        text = f"has the format {document.get('version')!r:.40}; {VERSION} can be read"
        raise BackupDriverException(f"backup {backup_id} {text}")
    try:
        if stream.problem is not None:
            raise stream.problem
        return _manifest(document, objects, backup_id)
    except ValueError as error:
        raise BackupDamaged(f"{label} is wrong: {error}") from error


def _listed(objects: Sequence[StoredObject]) -> Iterator[bytes]:
    """Yield the list of objects in parts, as ``json.dumps`` indents it."""
    if not objects:
        yield b"[]"
        return
    for first in range(0, len(objects), _BATCH):
        texts = (_text_of(one) for one in objects[first : first + _BATCH])
        yield (",\n    " if first else "[\n    ").encode() + ",\n    ".join(texts).encode()
    yield b"\n  ]"


def _text_of(one: StoredObject) -> str:
    [(name, facts)] = one.to_json().items()
    inside = _FACTS.encode(facts)[1:-1]
    return f"{{\n      {json.dumps(name)}: {{\n        {inside}\n      }}\n    }}"


def _manifest(document: dict[str, Any], objects: ObjectList, backup_id: str) -> Manifest:
    if document.get("backup_id") != backup_id:
        raise ValueError(f"it is that of backup {document.get('backup_id')!r:.60}")
    if document.get("objects") != []:
        raise ValueError("it lists no objects")
    sealed = "seal" in document
    objects.sort()
    if objects.has_duplicates():
        raise ValueError("it lists an object twice")
    for before, after in pairwise(objects):
        if after.offset < before.end:
            raise ValueError(f"{before.name} and {after.name} hold the same part of the volume")
    block_hashes = document.get("sha256file")
    if not sealed and (block_hashes is not None or any(one.size is not None for one in objects)):
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
        block_hashes=None
        if block_hashes is None
        else (number(block_hashes, "size"), number(block_hashes, "crc32")),
        sealed=sealed,
    )


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return None if value is None else str(value)
