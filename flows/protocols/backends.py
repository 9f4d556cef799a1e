# SPDX-License-Identifier: Apache-2.0
"""Drivers, images and attached devices of this process, as flows use them: protocols.

The worker implements them; tests implement them with plain objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol

from drivers.interface.backup import BackupDriver
from drivers.interface.image import Image, ImageService, Placement
from drivers.interface.pace import Pace
from drivers.interface.volume import VolumeDriver


class Backend(Protocol):
    """The configured volume backend of this process."""

    name: str
    host: str
    """``host@backend``: the part of ``volume.host`` before the pool."""

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


class BackupBackend(Protocol):
    """The configured backup store of this process."""

    host: str
    zone: str

    service: str
    """The driver's name in ``backups.service``."""

    def require_driver(self) -> BackupDriver:
        """Return the driver. :raises DriverNotInitialized: the store is not usable now."""

    def is_this_store(self, service: str | None) -> bool:
        """Return whether backups with that service name are in this store."""


class Images(Protocol):
    """The image service, and the transfer of image data from and to volumes."""

    @property
    def service(self) -> ImageService:
        """The image service, as volume drivers receive it."""

    def fetch(
        self, context: Any, image: Image, file: BinaryIO, size: int, key: str, pace: Pace
    ) -> None:
        """Overwrite a volume with an image, and verify it; none of the old data remains.

        :param file: the volume, open for reading and writing.
        :param size: the size of the volume, in bytes.
        :param key: the volume's id, which names temporary files.
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
