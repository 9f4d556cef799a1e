# SPDX-License-Identifier: Apache-2.0
"""Read one object of a backup and believe nothing: its size, its hashes, its data."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import wait
from contextlib import closing, contextmanager
from typing import Any

from isal import isal_zlib
from oslo_utils import units

from drivers.backup.format import block_hashes, compression, independent_decoders, zero_blocks
from drivers.backup.format import bounds as bounding
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.layout import StoredObject
from drivers.backup.stores.object_store import Missing, ObjectStore
from drivers.backup.transfer import volume_reader
from drivers.backup.transfer.limits import TransferLimits
from drivers.interface.errors import BackupDamaged

LOG = logging.getLogger(__name__)

Decoder = Callable[[str, Iterable[bytes]], Iterator[bytes]]

Data = tuple[int, bytes | None, int]
"""Offset of a part of a volume, its data, and its length; None for data that is zeros."""


_LEAST_LIMIT = units.Mi
"""Bytes of an object without a noted size, besides twice its data: no compression adds more."""

_OTHER_MD5 = "its data has another MD5 than was noted"


class VerifyingReader:
    """Reads the objects of one backup and verifies them.

    :param hashes: of the blocks of the volume, to compare with; None to compare only
        the metadata of each object.
    :param compares_md5: whether the MD5 of data whose blocks are compared is compared as well.
    """

    def __init__(
        self,
        store: ObjectStore,
        container: str,
        limits: TransferLimits,
        stop: threading.Event,
        hashes: BlockHashes | None,
        *,
        compares_md5: bool = True,
    ) -> None:
        self._store = store
        self._container = container
        self._limits = limits
        self._stop = stop
        self._hashes = hashes
        self._compares_md5 = compares_md5 or hashes is None

    def data(self, one: StoredObject) -> Iterator[Data]:
        """Yield the data of an object, in order; yielded data may yet prove wrong.

        Where only the decoder calls it damaged, and an independent one reads all of it, the
        data is yielded again, from the object's beginning.

        :raises BackupDamaged: at the latest at the end: it is not as it was stored.
        """
        if one.zeros and self._is_zeros(one):
            self._check_zeros(one)
            yield one.offset, None, one.length
            return
        try:
            yield from self._verified(one, compression.decoded)
        except Missing:
            raise
        except BackupDamaged as error:
            if not self._is_intact(one):
                raise
            yield from self._verified(one, independent_decoders.decoded)
            LOG.warning(
                "%s is not damaged, although a first decoder found: %s. A second one read all of"
                " it, with the right length and hashes; please report this as a bug",
                *(one.name, error),
            )

    def _is_intact(self, one: StoredObject) -> bool:
        """Return whether an independent decoder reads the whole object; its data is not used."""
        stored = self._stored(one)
        intact = independent_decoders.is_intact(
            one.compression,
            stored,
            one.length,
            one.md5,
            lambda length: self._limits.admit(length, self._stop),
        )
        return intact and (one.size is None or (stored.size, stored.crc) == (one.size, one.crc32))

    def _verified(self, one: StoredObject, decoder: Decoder) -> Iterator[Data]:
        stored = self._stored(one)
        at, hashes = one.offset, _DataHashes(one, self._hashes, self._limits, self._compares_md5)
        try:
            with closing(self._ahead(decoder(one.compression, stored))) as chunks:
                for chunk in chunks:
                    if at + len(chunk) > one.end:
                        raise damaged(one, f"it has more than {one.length} bytes of data")
                    self._limits.admit(len(chunk), self._stop)
                    with hashes.adding(chunk):
                        yield at, chunk, len(chunk)
                    at += len(chunk)
        except compression.Damaged as error:
            raise damaged(one, f"it is no {one.compression}: {error}") from error
        if at != one.end:
            raise damaged(one, f"it has {at - one.offset} bytes of data, not {one.length}")
        hashes.end()
        self._check_stored(one, stored.size, stored.crc)

    def _stored(self, one: StoredObject) -> _Counted:
        """Return the stored parts of an object, as many as it may have."""
        most = one.size if one.size is not None else 2 * one.length + _LEAST_LIMIT
        parts = self._store.reading(self._container, one.name)
        return _Counted(bounding.limited(parts, most, one.name))

    def _ahead(self, data: Iterator[bytes]) -> Generator[bytes]:
        """Yield the data that another thread reads and decompresses meanwhile."""
        coming = self._limits.fetch(next, data, None)
        while (chunk := coming.result()) is not None:
            coming = self._limits.fetch(next, data, None)
            try:
                yield chunk
            except BaseException:
                coming.exception()
                raise

    def _is_zeros(self, one: StoredObject) -> bool:
        if one.length > zero_blocks.MAX_LENGTH or one.compression != compression.BZ2:
            return False
        if one.size != len(zero_blocks.packed(one.length)):
            return False
        stored = b"".join(self._stored(one))
        self._check_stored(one, len(stored), isal_zlib.crc32(stored))
        if stored != zero_blocks.packed(one.length):
            return False
        if zero_blocks.md5(one.length).hexdigest() != one.md5:
            raise damaged(one, _OTHER_MD5)
        return True

    def _check_zeros(self, one: StoredObject) -> None:
        if self._hashes is None:
            return
        block = self._hashes.block_size
        step = volume_reader.segment_size(block)
        zero = zero_blocks.sha256(block)
        for begin in range(one.offset, one.end, step):
            whole, rest = divmod(min(step, one.end - begin), block)
            wanted = zero * whole + (zero_blocks.sha256(rest) if rest else b"")
            first = begin // block
            if self._hashes.read(first, whole + (1 if rest else 0)) != wanted:
                raise damaged(one, f"block {first} or one after it has another SHA-256")

    def _check_stored(self, one: StoredObject, size: int, crc: int) -> None:
        if one.size is None:
            return
        if size != one.size:
            raise damaged(one, f"it is stored in {size} bytes, not {one.size}")
        if crc != one.crc32:
            raise damaged(one, "it has another CRC-32 than was noted")


class _DataHashes:
    """Hashes the data of an object on other threads, and compares what was noted.

    :param expected: hashes of the blocks of the volume; None to compare the MD5 alone.
    """

    def __init__(
        self,
        one: StoredObject,
        expected: BlockHashes | None,
        limits: TransferLimits,
        compares_md5: bool,
    ) -> None:
        self._one = one
        self._limits = limits
        self._md5 = zero_blocks.md5(0) if compares_md5 else None
        self._blocks = None if expected is None else _Blocks(one, expected)
        self._hashed: list[Callable[[bytes], None]] = []
        if self._md5 is not None:
            self._hashed.append(self._md5.update)
        if self._blocks is not None:
            self._hashed.append(self._blocks.add)

    @contextmanager
    def adding(self, data: bytes) -> Iterator[None]:
        """Hash further data while it is used. :raises BackupDamaged: a block differs."""
        running = [self._limits.submit(hashed, data) for hashed in self._hashed]
        try:
            yield
        finally:
            wait(running)
        for one in running:
            one.result()

    def end(self) -> None:
        """Compare the rest. :raises BackupDamaged: a hash differs."""
        if self._md5 is not None and self._md5.hexdigest() != self._one.md5:
            raise damaged(self._one, _OTHER_MD5)
        if self._blocks is not None:
            self._blocks.end()


class _Blocks:
    """Compares the hashes of blocks with those that were noted, as their data comes."""

    def __init__(self, one: StoredObject, expected: BlockHashes) -> None:
        self._one = one
        self._expected = expected
        self._partial: Any = None
        self._at = one.offset
        if one.offset % expected.block_size:
            raise damaged(one, f"it begins at byte {one.offset}, where no block begins")

    def add(self, data: bytes) -> None:
        view, block = memoryview(data), self._expected.block_size
        if self._partial is not None:
            rest = view[: block - self._at % block]
            view = view[len(rest) :]
            self._partial.update(rest)
            self._at += len(rest)
            if self._at % block == 0:
                self.end()
        whole = len(view) - len(view) % block
        self._compare(self._at // block, volume_reader.hashes(view[:whole], block))
        self._at += len(view)
        if whole < len(view):  # a block may be far larger than one chunk
            self._partial = hashlib.sha256(view[whole:])

    def end(self) -> None:
        """Compare the block that has begun, too."""
        if self._partial is not None:
            at = (self._at - 1) // self._expected.block_size
            self._compare(at, self._partial.digest())
            self._partial = None

    def _compare(self, first: int, found: bytes) -> None:
        if found != self._expected.read(first, len(found) // block_hashes.SIZE):
            raise damaged(self._one, f"block {first} or one after it has another SHA-256")


class _Counted:
    """Parts of an object, counted and hashed as they pass."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self.size = 0
        self.crc = 0

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self.size += len(part)
            self.crc = isal_zlib.crc32(part, self.crc)
            yield part


def damaged(one: StoredObject, why: str) -> BackupDamaged:
    """Return the error of a damaged object."""
    return BackupDamaged(f"{one.name} is damaged: {why}")
