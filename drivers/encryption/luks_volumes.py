# SPDX-License-Identifier: Apache-2.0
"""Headers of encrypted volumes, with their temporary files in ``image_conversion_dir``."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from drivers import own_directories
from drivers.blockio import BlockFile
from drivers.encryption import encrypted_volume, passphrase_change
from drivers.encryption.luks_format import LuksFormat

HEADER = ".luks"
"""Ending of the name of a file with a header of LUKS."""


class LuksVolumes:
    """Makes and changes the headers of volumes.

    :param directory: of temporary files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def encrypted(
        self, file: BinaryIO, wanted: LuksFormat, passphrase: bytes, size: int, key: str
    ) -> BlockFile:
        """Put a header of LUKS before the data of a volume; return the data to write.

        :param key: names the temporary file, as for the images of a volume.
        :raises VolumeBackendAPIException: cryptsetup cannot make the header.
        """
        own_directories.make(self._directory, strict=True)
        return encrypted_volume.new(file, wanted, passphrase, size, self._path(key, HEADER))

    def decrypted(self, file: BinaryIO, passphrase: bytes, size: int, key: str) -> BlockFile:
        """Return the data of a volume behind its header, see :meth:`encrypted`.

        :raises WrongPassphrase: the passphrase does not open it.
        :raises VolumeBackendAPIException: there is no header, or one that cannot be used.
        """
        own_directories.make(self._directory, strict=True)
        return encrypted_volume.existing(file, passphrase, size, self._path(key, HEADER))

    def change_passphrase(
        self,
        file: BinaryIO,
        wanted: LuksFormat | None,
        old: bytes,
        new: bytes,
        size: int,
        key: str,
    ) -> bool:
        """Replace the passphrase of a volume, or put a header before one that has none.

        :returns: False where it has another format.
        :raises WrongPassphrase: neither opens it.
        :raises VolumeBackendAPIException: cryptsetup cannot change the header.
        """
        own_directories.make(self._directory, strict=True)
        path = self._path(key, HEADER)
        return passphrase_change.change(file, wanted, old, new, size, path)

    def _path(self, key: str, suffix: str = "") -> Path:
        return self._directory / f"image-{Path(key).name}{suffix}"
