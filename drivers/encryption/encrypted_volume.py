# SPDX-License-Identifier: Apache-2.0
"""Open the data of an encrypted volume: a new one, or one that has its header."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import BinaryIO

from drivers.blockio import BlockFile
from drivers.encryption import luks_header
from drivers.encryption.luks_format import CIPHERS, LuksFormat
from drivers.encryption.luks_header import LuksHeader
from drivers.interface.errors import VolumeBackendAPIException


def new(file: BinaryIO, wanted: LuksFormat, passphrase: bytes, size: int, path: Path) -> BlockFile:
    """Put a header of LUKS before the data of a volume; return the data.

    Old data reads as noise. The sectors that are not written keep their bytes, but for those of a
    device behind the end of the volume.

    :param file: the volume, open for reading and writing.
    :param size: of the volume, in bytes.
    :param path: of a file that is made and removed; an old one is replaced.
    :raises VolumeBackendAPIException: the header cannot be made.
    """
    header = luks_header.new(wanted, passphrase, size, path)
    volume = BlockFile(file)
    data = _data(volume, header, size)
    volume.write(0, header.data)
    volume.clear(size, max(0, volume.size - size))
    return data


def existing(file: BinaryIO, passphrase: bytes, size: int, path: Path) -> BlockFile:
    """Return the data of a volume behind its header; parameters as of :func:`new`.

    :raises WrongPassphrase: the passphrase does not open it.
    :raises VolumeBackendAPIException: there is no header, or one that cannot be used.
    """
    volume = BlockFile(file)
    begin = volume.read(0, min(size, luks_header.LONGEST))
    return _data(volume, luks_header.read(begin, passphrase, size, path), size)


def _data(volume: BlockFile, header: LuksHeader, size: int) -> BlockFile:
    """Return the data; the library for it is optional, and takes memory."""
    if header.cipher not in CIPHERS:
        text = f"the data is encrypted with {header.cipher:.100}, not with {CIPHERS[0]}"
        raise VolumeBackendAPIException(text)
    try:
        module = importlib.import_module("drivers.encryption.encrypted_file")
    except ImportError as error:
        text = f"encrypted volumes need a library ({error}): pip install 'holdfast[encryption]'"
        raise VolumeBackendAPIException(text) from error
    opened: BlockFile = module.EncryptedFile(volume, header, size)
    return opened
