# SPDX-License-Identifier: Apache-2.0
"""Drivers, images and attached devices of this process, as flows use them: protocols.

The worker implements them; tests implement them with plain objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol

from drivers.blockio import BlockFile
from drivers.encryption.luks_format import LuksFormat
from drivers.interface.backup import BackupDriver
from drivers.interface.image import Image, ImageService, Placement, SignatureCheck
from drivers.interface.pace import Pace
from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from flows.protocols.request import Request


class ServedBackend(Protocol):
    """The backend, or the store of backups, of a service."""

    host: str
    """``host@backend``: the part of ``volume.host`` before the pool; of a backup its host."""

    cluster: str | None
    """``cluster@backend`` of a volume service in a cluster; None without one."""


def serves(backend: ServedBackend, row: Mapping[str, Any]) -> bool:
    """Return whether a row is of a backend, in whatever pool; or of a host, for a backup.

    Of a service in a cluster, rows with the name of a cluster are its own by that name: their
    host is the one that created them, and may be gone. Rows without such a name belong to a host.
    """
    cluster, host = row.get("cluster_name"), row.get("host")
    if cluster and backend.cluster:
        return _without_pool(cluster) == backend.cluster
    return bool(host) and _without_pool(host) == backend.host


def _without_pool(name: Any) -> str:
    return str(name).split("#", 1)[0]


class Backend(ServedBackend, Protocol):
    """The configured volume backend of this process."""

    name: str

    @property
    def service_uuid(self) -> str:
        """The UUID of the backend's services row."""

    def require_driver(self) -> VolumeDriver:
        """Return the driver. :raises DriverNotInitialized: the driver is not up."""

    def any_driver(self) -> VolumeDriver:
        """Return the driver, even if it is not up, for the failover of a lost backend.

        :raises DriverNotInitialized: there is no driver at all.
        """

    def stats(self) -> Mapping[str, Any]:
        """Return the last valid statistics; empty before the first ones."""

    def request_report(self) -> None:
        """Request a capability report without waiting for it."""

    def initiator_namespace(self) -> str:
        """Return the namespace of initiator data."""


class BackupBackend(ServedBackend, Protocol):
    """The configured backup store of this process."""

    zone: str

    service: str
    """The driver's name in ``backups.service``."""

    def require_driver(self) -> BackupDriver:
        """Return the driver. :raises DriverNotInitialized: the store is not usable now."""

    def driver_for(self, request: Request, backup: Record) -> BackupDriver:
        """Return the driver that works on a backup for one request.

        :raises DriverNotInitialized: the store is not usable now.
        :raises BackupDriverException: the request lacks something that the driver needs.
        """

    def is_this_store(self, service: str | None) -> bool:
        """Return whether backups with that service name are in this store."""


class Images(Protocol):
    """The image service, and the transfer of image data from and to volumes."""

    @property
    def service(self) -> ImageService:
        """The image service."""

    def for_driver(self, check: SignatureCheck | None) -> ImageService:
        """Return the image service for a driver that copies an image; it verifies the data.

        :param check: of the image's signature, None for none.
        """

    def signature_check(self, image: Image) -> SignatureCheck:
        """Return a check of an image's signature.

        :raises ImageSignatureVerificationException: its certificate cannot be read or used.
        """

    def check_begin(self, context: Any, image: Image, size: int) -> None:
        """Look at the begin of an image, where that has more than the data of the disk.

        :param size: of the volume, in bytes.
        :raises ImageUnacceptable: it does not fit its description, or the volume.
        :raises ImageError: it cannot be read.
        """

    def encrypted(
        self, file: BinaryIO, wanted: LuksFormat, passphrase: bytes, size: int, key: str
    ) -> BlockFile:
        """Put a header of LUKS before the data of a volume; return the data, which is encrypted.

        :param file: the volume, open for reading and writing.
        :param size: the size of the volume, in bytes.
        :param key: the volume's id, which names temporary files.
        :raises DriverError: cryptsetup cannot make the header.
        """

    def decrypted(self, file: BinaryIO, passphrase: bytes, size: int, key: str) -> BlockFile:
        """Return the data of an encrypted volume, behind its header; see :meth:`encrypted`.

        :raises DriverError: the passphrase does not open it, or there is no header.
        """

    def change_passphrase(
        self,
        file: BinaryIO,
        wanted: LuksFormat | None,
        old: bytes,
        new: bytes,
        size: int,
        key: str,
    ) -> bool:
        """Replace the passphrase of an encrypted volume, whose data stays. Idempotent.

        A volume without a header gets one.

        :param file: the volume, open for reading and writing.
        :param wanted: the format of a header that is not there; None: none is made.
        :param size: the size of the volume, in bytes.
        :param key: the volume's id, which names temporary files.
        :returns: False where the volume is no raw disk: it stays as it is.
        :raises DriverError: neither opens the volume, or cryptsetup cannot change the header.
        """

    def fetch(
        self,
        context: Any,
        image: Image,
        file: BinaryIO | BlockFile,
        size: int,
        key: str,
        pace: Pace,
        check: SignatureCheck | None = None,
    ) -> None:
        """Overwrite a volume with an image, and verify it; none of the old data remains.

        :param file: the volume, open for reading and writing.
        :param size: the size of the volume, in bytes.
        :param key: the volume's id, which names temporary files.
        :param check: of the image's signature, None for none.
        :raises ImageError: the volume's data is invalid.
        """

    def store(
        self,
        context: Any,
        image: Image,
        file: BinaryIO,
        key: str,
        pace: Pace,
        placement: Placement,
    ) -> None:
        """Copy a volume into an image that has no data yet.

        :param file: the volume, open for reading.
        :raises ImageError: the image is incomplete and has to be deleted.
        """

    def clear(self, key: str) -> None:
        """Remove the temporary files of an interrupted attempt."""


class Attacher(Protocol):
    """Attaches volumes and snapshots to this host, and opens them."""

    def connector(self) -> Mapping[str, Any]:
        """Return the connector properties of this host, for drivers."""

    def opened(
        self, info: Mapping[str, Any], *, write: bool, secure: bool
    ) -> AbstractContextManager[BinaryIO]:
        """Attach a source and open it; at the end close it and detach it.

        :param info: the connection info, as a driver returns it.
        :param secure: whether the service's user may open the source as it is.
        :raises AttachFailed: the source cannot be opened here.
        :raises DetachFailed: the source could not be detached.
        """

    def detach(self, info: Mapping[str, Any]) -> None:
        """Detach a source that an interrupted attempt may have left. :raises DetachFailed:"""
