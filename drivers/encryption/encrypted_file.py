# SPDX-License-Identifier: Apache-2.0
"""The data of an encrypted volume as an open file: it is encrypted as it is written."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers import blockio
from drivers.blockio import BlockFile, Extent
from drivers.encryption.luks_header import LuksHeader

_NUMBERS = {"aes-xts-plain64": 1 << 64, "aes-xts-plain": 1 << 32}
"""Numbers of sectors by the cipher: the next one is 0 again."""


class EncryptedFile(BlockFile):
    """The data behind a header of LUKS, with AES-XTS by the number of each sector.

    :param volume: the volume, with its header; its size is that of its row.
    """

    def __init__(self, volume: BlockFile, header: LuksHeader, size: int) -> None:
        self._volume, self._begin, self._sector = volume, header.length, header.sector
        self._algorithm = algorithms.AES(header.data_key)
        # LUKS counts sectors of 512 bytes, whatever length is encrypted together.
        self._step = header.sector // 512
        self._numbers = _NUMBERS[header.cipher]
        self._writing = threading.Lock()
        self._leaves_out_unwritten = False
        self.name = volume.name
        self.size = size - header.length - (size - header.length) % header.sector

    @property
    def is_image(self) -> bool:
        """No program can read it otherwise."""
        return False

    @property
    def is_encrypted(self) -> bool:
        """It is."""
        return True

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes; fewer only at the end."""
        first = offset - offset % self._sector
        end = min(self.size, offset + length)
        if end <= first:
            return b""
        found = self._volume.read(self._begin + first, end - first + -(end - first) % self._sector)
        return self._transformed(first, found, encrypt=False)[offset - first : end - first]

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all data; sectors that it covers in part are read first."""
        end = offset + len(data)
        head, tail = offset % self._sector, -end % self._sector
        with self._writing:
            before = self.read(offset - head, head) if head else b""
            after = self.read(end, tail) if tail else b""
            whole = b"".join((before, data, after))
            first = offset - head
            self._volume.write(self._begin + first, self._transformed(first, whole, encrypt=True))

    def zero(self, offset: int, length: int) -> None:
        """Write encrypted zeros."""
        for at in range(offset, offset + length, 1 << 20):
            self.write(at, bytes(min(1 << 20, offset + length - at)))

    def clear(self, offset: int, length: int) -> None:
        """Write encrypted zeros: old data there reads as noise."""
        self.zero(offset, length)

    def erase(self, offset: int, length: int) -> None:
        """Write plain zeros, without using space where that is possible: they read as noise.

        Only over whole sectors: the rest of a sector may have data, which is read with it.
        """
        end = offset + length
        first = min(end, offset + -offset % self._sector)
        last = max(first, end - end % self._sector)
        self.zero(offset, first - offset)
        self._volume.clear(self._begin + first, last - first)
        self.zero(last, end - last)

    def discard(self) -> bool:
        """Return that nothing reads as zeros."""
        return False

    def data_extents(self, start: int, end: int) -> Iterator[Extent]:
        """Yield all of it, as nothing reads as zeros, or the sectors that may have been written."""
        if start >= end:
            return
        if not self._leaves_out_unwritten:
            yield start, end
            return
        done = start
        for at, stop in self._volume.data_extents(self._begin + start, self._begin + end):
            first, last = at - self._begin, stop - self._begin
            first, last = first - first % self._sector, last + -last % self._sector
            if min(last, end) > done:
                yield max(first, done), min(last, end)
                done = min(last, end)

    def has_no_data(self, offset: int, length: int) -> bool:
        """Return whether a range is encrypted zeros, or whole sectors that were never written."""
        if super().has_no_data(offset, length):
            return True
        first = offset - offset % self._sector
        end = min(self.size, offset + length)
        return blockio.is_zero(self._volume.read(self._begin + first, end - first))

    def leave_out_unwritten(self) -> None:
        """See :class:`BlockFile`. A sector with data has no zeros as its cipher text."""
        self._leaves_out_unwritten = True

    def flush(self) -> None:
        """Make everything that was written survive a power failure."""
        self._volume.flush()

    def path(self, *, write: bool) -> str | None:
        """Return that it has no path."""
        return None

    def _transformed(self, offset: int, data: bytes, *, encrypt: bool) -> bytes:
        made: list[Any] = []
        number = offset // self._sector * self._step
        for at in range(0, len(data), self._sector):
            tweak = (number % self._numbers).to_bytes(16, "little")
            cipher = Cipher(self._algorithm, modes.XTS(tweak))
            one = cipher.encryptor() if encrypt else cipher.decryptor()
            made.append(one.update(data[at : at + self._sector]))
            number += self._step
        return b"".join(made)
