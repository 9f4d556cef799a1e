# SPDX-License-Identifier: Apache-2.0
"""The data of a volume and of its copy without their encryption, where that is to change.

A volume that no host has attached has no header of LUKS and no data yet. Where the copy has a
longer header, the end of the data does not fit into it: it has to be zeros, or never written.

A header is at the begin of the whole device, which may be longer than the volume's
size: the one of Ceph by the header, others because they round sizes up. All of it is data.

Sectors of an encrypted volume that were never written read as noise: nothing relies on it, and
they are neither decrypted nor written. Those of a plain one read as zeros, and are encrypted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from oslo_utils import units

from drivers import blockio
from drivers.blockio import BlockFile
from drivers.encryption import luks_format
from drivers.encryption.luks_format import LuksFormat
from drivers.interface.errors import VolumeDriverException
from drivers.interface.records import Record
from flows.context import MigrationContext
from flows.errors import VolumeMigrationFailed
from flows.protocols.encryption_keys import Passphrase

_MAGIC = b"LUKS\xba\xbe"
_PART = 4096
"""Bytes that are looked at together: a whole sector of LUKS."""

_LOOKED_AT = 64 * units.Mi
"""Bytes of a volume without a header that have to be zeros."""


class Recoding:
    """How the data of a volume is read, and that of its copy written.

    The passphrases are read before anything is connected.

    :raises VolumeMigrationFailed: one of both cannot be read or written here.
    :raises KeyManagerError: a key cannot be read.
    """

    def __init__(self, ctx: MigrationContext, volume: Record, copy: Record) -> None:
        self._ctx, self._volume, self._copy = ctx, volume, copy
        self._of_volume, self._of_copy = (
            format_of(ctx, one, one.volume_type_id) for one in (volume, copy)
        )
        self._old, self._new = (
            _passphrase(ctx, one, wanted)
            for one, wanted in ((volume, self._of_volume), (copy, self._of_copy))
        )
        if self._of_copy is not None and self._new is None:
            text = f"its copy {copy.id} is to be encrypted, and has no key"
            raise VolumeMigrationFailed(f"volume {volume.id}: {text}")

    def opened(self, source: BinaryIO, target: BinaryIO) -> tuple[BlockFile, BlockFile, int]:
        """Return the data of both, and how many bytes of it are to be copied.

        :raises VolumeMigrationFailed: the data does not fit; none is copied yet.
        """
        data, length = self._data(source)
        into = BlockFile(target)
        if self._of_copy is None or self._new is None:
            _require_unused(self._volume, data, into.size, length)
            return data, into, min(length, into.size)
        room = into.size - self._of_copy.header_length
        _require_unused(self._volume, data, room, length)
        wanted, secret = self._of_copy, self._new.reveal()
        made = self._ctx.images.encrypted(target, wanted, secret, into.size, self._copy.id)
        # Whole sectors only, behind the header that cryptsetup has made.
        _require_unused(self._volume, data, made.size, min(length, room))
        if self._old is not None:
            made.leave_out_unwritten()
        return data, made, min(length, made.size)

    def _data(self, source: BinaryIO) -> tuple[BlockFile, int]:
        raw = BlockFile(source)
        if self._old is None:
            # Backends round sizes up: plain data ends at the volume's own size.
            return raw, min(raw.size, int(self._volume.size) * units.Gi)
        if raw.read(0, len(_MAGIC)) == _MAGIC:
            images, key = self._ctx.images, self._volume.id
            data = images.decrypted(source, self._old.reveal(), raw.size, key)
            data.leave_out_unwritten()
            return data, data.size
        if not blockio.is_zero(raw.read(0, min(raw.size, _LOOKED_AT))):
            text = "has a key, and neither a header of LUKS nor zeros at its begin"
            raise VolumeMigrationFailed(f"volume {self._volume.id} {text}")
        return raw, 0


def format_of(ctx: MigrationContext, volume: Record, type_id: str | None) -> LuksFormat | None:
    """Return the format of a volume with a key and of a type; None where data is as it is.

    :raises VolumeMigrationFailed: it cannot be read or written here.
    """
    row: Mapping[str, Any] | None = ctx.types.encryption(type_id)
    if row is None:
        return None
    try:
        return luks_format.format_of(row, str(type_id))
    except VolumeDriverException as error:
        raise VolumeMigrationFailed(f"volume {volume.id}: {error}") from error


def _passphrase(
    ctx: MigrationContext, volume: Record, wanted: LuksFormat | None
) -> Passphrase | None:
    if wanted is None or not volume.encryption_key_id:
        return None
    return ctx.keys.passphrase(ctx.request, volume.encryption_key_id)


def _require_unused(volume: Record, data: BlockFile, room: int, length: int) -> None:
    """Refuse data behind the room of the copy, but zeros and sectors that were never written."""
    for at in range(max(0, room), length, _PART):
        if not data.has_no_data(at, min(_PART, length - at)):
            text = f"has data in its last {length - room} bytes"
            reason = "its copy has no room for them: shrink the file system"
            raise VolumeMigrationFailed(f"volume {volume.id} {text}, {reason}")
