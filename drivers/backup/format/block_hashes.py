# SPDX-License-Identifier: Apache-2.0
"""The SHA-256 of every block of a volume: in a file of this host, and as an object.

A volume of a TiB has 33 million blocks of 32 KiB: their hashes are a GiB, and twice
as much as the text of ``P_sha256file``. So they are never in memory together. In the
file, a hash of which all bytes are zero stands for that of a block of zeros: a hole
in the volume is a hole in the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeGuard

from oslo_utils import units

from drivers import blockio
from drivers.backup.format import bounds as bounding
from drivers.backup.format import zero_blocks
from drivers.backup.format.bounds import Bounds
from drivers.backup.stores import local_files
from drivers.interface.errors import BackupDamaged

SIZE = 32
"""Bytes of a hash."""

MAX_BLOCK_SIZE = 2 * units.Gi
"""Bytes of a block at most: no object of Cinder's is larger by default."""

_NONE = bytes(SIZE)
_BATCH = 4096
"""Hashes that are in memory together."""

_KEY = b'"sha256s"'
_LIST = re.compile(_KEY + rb"\s*:\s*\[")
"""No text in JSON contains a quotation mark, so only a key has this form."""

_AROUND = units.Mi
"""Most bytes before the list of hashes, between two of them, and behind it."""

_TEXT = 128
"""Most bytes of a hash in the list, on an average."""

_BETWEEN = b'", \n\r\t'


class BlockHashes:
    """Hashes of blocks, in a file.

    :param fd: of that file, which is closed in the end.
    :param path: of it, or of its directory, for the text of an error.
    :param block_size: bytes of a block; 0 until :meth:`set_block_size` sets it.
    """

    def __init__(self, fd: int, path: Path, block_size: int = 0) -> None:
        self._fd = fd
        self._path = path
        self.block_size, self._zero = 0, _NONE
        if block_size:
            self.set_block_size(block_size)

    @classmethod
    def in_file(cls, path: Path, block_size: int) -> BlockHashes:
        """Keep them in a file, which is made where it is missing; its content stays."""
        with local_files.explained(path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return cls(fd, path, block_size)

    @classmethod
    def in_temporary_file(cls, directory: Path) -> BlockHashes:
        """Keep them in a file without a name, which nothing survives; their block is not known."""
        with local_files.explained(directory), tempfile.TemporaryFile(dir=directory) as file:
            return cls(os.dup(file.fileno()), directory)

    def __enter__(self) -> BlockHashes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    @property
    def count(self) -> int:
        """How many blocks have a place."""
        return os.fstat(self._fd).st_size // SIZE

    def set_block_size(self, block_size: int) -> None:
        """Say how many bytes a block has, before the first hash is read."""
        self.block_size, self._zero = block_size, zero_blocks.sha256(block_size)

    def resize(self, count: int) -> None:
        """Give a number of blocks their places; one without a hash is a block of zeros."""
        with local_files.explained(self._path):
            os.ftruncate(self._fd, count * SIZE)

    def write(self, first: int, hashes: bytes) -> None:
        """Note the hashes of blocks, one after another."""
        if hashes != self._zero * (len(hashes) // SIZE):
            with local_files.explained(self._path):
                blockio.write_at(self._fd, hashes, first * SIZE)

    def read(self, first: int, count: int) -> bytes:
        """Return the hashes of blocks; fewer at the end."""
        with local_files.explained(self._path):
            raw = os.pread(self._fd, count * SIZE, first * SIZE)
        if _NONE not in raw:
            return raw
        hashes = (raw[at : at + SIZE] for at in range(0, len(raw), SIZE))
        return b"".join(self._zero if one == _NONE else one for one in hashes)

    def places(self, parts: Iterable[Sequence[int]]) -> Iterator[tuple[int, int]]:
        """Yield the first block, and the number of blocks, of parts of the volume."""
        for begin, end in parts:
            first = begin // self.block_size
            yield first, -(-end // self.block_size) - first

    def flush(self) -> None:
        """See that they outlive the machine."""
        with local_files.explained(self._path):
            os.fdatasync(self._fd)


def rendered(hashes: BlockHashes, facts: dict[str, Any]) -> Iterator[bytes]:
    """Yield the object that holds the hashes, in parts.

    :param facts: of the backup: all that stands in it besides the hashes and their block.
    """
    document = {**facts, "chunk_size": hashes.block_size, "sha256s": []}
    head, tail = json.dumps(document, sort_keys=True).encode().split(_KEY + b": []")
    yield head + _KEY + b": ["
    for first in range(0, hashes.count, _BATCH):
        quoted = hashes.read(first, _BATCH).hex(",", SIZE).replace(",", '","')
        yield f'{"," if first else ""}"{quoted}"'.encode()
    yield b"]" + tail


def parse(
    parts: Iterable[bytes], into: BlockHashes, label: str, bounds: Bounds = bounding.ANY
) -> dict[str, Any]:
    """Read the object that holds the hashes, and return its other fields.

    :param into: gets the hashes, and the size of their blocks; it is empty.
    :param label: the object's name in the text of an error.
    :raises BackupDamaged: it is no such object, or has more hashes than the volume has blocks.
    """
    rest = _Parser(into, label, bounds)
    for part in bounding.joined(bounding.limited(parts, max_size(bounds), label)):
        rest.feed(part)
    return rest.end()


def max_size(bounds: Bounds) -> int:
    """Return the largest number of bytes of the object that holds the hashes."""
    return 2 * _AROUND + bounds.blocks(0) * _TEXT


class _Parser:
    """Takes the hashes out of a document that may be too large to be parsed as one."""

    def __init__(self, into: BlockHashes, label: str, bounds: Bounds) -> None:
        self._into = into
        self._bounds = bounds
        self._label = label
        self._around = b""
        self._pending = b""
        self._count = 0
        self._take = self._before

    def feed(self, part: bytes) -> None:
        self._pending += part
        self._take()
        if len(self._pending) > _AROUND:
            raise self._wrong(f"more than {_AROUND} bytes of it are no hashes")

    def end(self) -> dict[str, Any]:
        if self._take != self._after:
            raise self._wrong("its list of hashes does not end")
        try:
            document = json.loads(self._around + self._pending)
        except (ValueError, RecursionError) as error:
            raise self._wrong(str(error)) from error
        if not isinstance(document, dict) or document.pop("sha256s", None) != []:
            raise self._wrong("it is no object with hashes")
        block = document.get("chunk_size")
        if not _is_block(block) or self._into.block_size not in (0, block):
            raise self._wrong(f"its blocks are {block!r:.20} bytes")
        self._into.set_block_size(block)
        self._into.resize(self._count)
        return document

    def _before(self) -> None:
        """Find the list."""
        found = _LIST.search(self._pending)
        if found is None:
            return
        self._around = self._pending[: found.end()]
        self._pending = self._pending[found.end() :]
        self._take = self._inside
        self._find_block_size()
        self._inside()

    def _find_block_size(self) -> None:
        """Find the size of a block before the list: then hashes of zeros take no space."""
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            block = json.loads(self._around + b"]}").get("chunk_size")
            if _is_block(block):
                self._into.set_block_size(block)

    def _inside(self) -> None:
        """Take whole hashes out of the list."""
        end = self._pending.find(b"]")
        cut = end if end >= 0 else self._pending.rfind(b",")
        if cut < 0:
            return
        self._store(self._pending[:cut], last=end >= 0)
        if end >= 0:
            self._pending = self._pending[end:]
            self._take = self._after
        else:
            self._pending = self._pending[cut + 1 :]

    def _after(self) -> None:
        """The rest is parsed at the end."""

    def _store(self, text: bytes, *, last: bool) -> None:
        digits = text.translate(None, _BETWEEN)
        count, odd = divmod(len(digits), SIZE * 2)
        if last and not text.strip():
            return
        try:
            hashes = bytes.fromhex(digits.decode("ascii"))
        except ValueError as error:
            raise self._wrong(f"hash {self._count} or one after it is none") from error
        if odd or text.count(b'"') != 2 * count or text.count(b",") != count - 1:
            raise self._wrong(f"hash {self._count} or one after it is none")
        if self._count + count > self._bounds.blocks(self._into.block_size):
            raise self._wrong("it has more hashes than the volume has blocks")
        for at in range(0, count, _GROUP):
            self._into.write(self._count + at, hashes[at * SIZE : (at + _GROUP) * SIZE])
        self._count += count

    def _wrong(self, why: str) -> BackupDamaged:
        return BackupDamaged(f"{self._label} is wrong: {why}")


def _is_block(size: Any) -> TypeGuard[int]:
    return isinstance(size, int) and not isinstance(size, bool) and 0 < size <= MAX_BLOCK_SIZE


_GROUP = 128
"""Hashes that are left out of the file together, where all of them are those of zeros."""
