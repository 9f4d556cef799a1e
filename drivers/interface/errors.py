# SPDX-License-Identifier: Apache-2.0
"""Exceptions of drivers, and the meaning of each to the operation that called the driver.

DriverError                                the call did not do its work
├── VolumeBackendAPIException              the backend refused or failed
├── VolumeDriverException                  the driver itself cannot do it
│   ├── InvalidConnectorException          the connector lacks a field that the driver needs
│   └── RemoveExportException              an export is still there
├── ResourceBusy                           in use on the backend, nothing was changed
│   ├── VolumeIsBusy
│   └── SnapshotIsBusy
├── InvalidInput                           the request makes no sense
├── ManageExistingInvalidReference         no such object, or not one to be managed
├── ManageExistingAlreadyManaged           the object belongs to another volume already
├── ManageExistingVolumeTypeMismatch       the object does not fit the volume's type
├── InvalidReplicationTarget               there is no such target of replication
├── SnapshotLimitExceeded                  the backend has no room for another snapshot
├── TargetUpdateFailed                     extended, only the export shows the old size
├── ImageError                             an image cannot become a volume
│   ├── ImageNotFound
│   ├── ImageTooBig
│   ├── ImageLimitExceeded
│   ├── ImageUnacceptable
│   ├── ImageCopyFailure
│   ├── ImageConversionNotAllowed
│   ├── InvalidSignatureImage
│   └── ImageSignatureVerificationException
└── BackupDriverException                  the backup store refused or failed
    ├── BackupDamaged                      stored data is missing or not as written
    ├── BackupLimitExceeded                the store has a limit or a quota
    ├── BackupMetadataUnsupportedVersion
    └── EncryptedBackupOperationFailed

Each takes a text for an operator: which object, its state, the next step; no
secret. The names are those that callers on the bus know (spec/interfaces §7).
"""

from __future__ import annotations


class DriverError(Exception):
    """Root of the exceptions that a driver raises on purpose."""


class VolumeBackendAPIException(DriverError):
    """The backend refused or failed; the object may be partly changed."""


class VolumeDriverException(DriverError):
    """The driver does not support the operation."""


class InvalidConnectorException(VolumeDriverException):
    """The connector lacks a field that this driver needs to export to it."""


class RemoveExportException(VolumeDriverException):
    """An export could not be removed and may still be reachable."""


class ResourceBusy(DriverError):
    """The object is in use on the backend; nothing was changed."""


class VolumeIsBusy(ResourceBusy):
    """The volume is attached, or has snapshots, on the backend."""


class SnapshotIsBusy(ResourceBusy):
    """The snapshot is in use, for example by a volume that depends on it."""


class InvalidInput(DriverError):
    """The request makes no sense; nothing was changed."""


class ManageExistingInvalidReference(DriverError):
    """The reference makes no sense, or names no object that could be managed."""


class ManageExistingAlreadyManaged(DriverError):
    """The object is managed already, as another volume or snapshot."""


class ManageExistingVolumeTypeMismatch(DriverError):
    """The object does not fit the type of the volume; the text gives the reason."""


class InvalidReplicationTarget(DriverError):
    """There is no such target of replication, or it is not to be had; nothing was changed."""


class SnapshotLimitExceeded(DriverError):
    """The backend has as many snapshots as it allows, of this volume or at all."""


class TargetUpdateFailed(DriverError):
    """The volume has its new size, only its export still shows the old one."""


class ImageError(DriverError):
    """An image cannot become a volume, or a volume an image."""


class ImageNotFound(ImageError):
    """There is no such image, or it has no data."""


class ImageTooBig(ImageError):
    """There is no room for the image."""


class ImageLimitExceeded(ImageError):
    """The image service has a limit or a quota that the image would pass."""


class ImageUnacceptable(ImageError):
    """The image's format or size does not fit."""


class ImageCopyFailure(ImageError):
    """The copy of an image's data failed."""


class ImageConversionNotAllowed(ImageError):
    """The image would have to be converted in a way that is not allowed."""


class InvalidSignatureImage(ImageError):
    """The properties of an image have a part of a signature, but not all of it."""


class ImageSignatureVerificationException(ImageError):
    """The signature of an image is wrong, or cannot be verified."""


class ComputeError(DriverError):
    """The compute service does not answer, or refuses."""


class BackupDriverException(DriverError):
    """The backup store refused or failed."""


class BackupDamaged(BackupDriverException):
    """A part of a backup is missing or damaged; the text names it."""


class BackupLimitExceeded(BackupDriverException):
    """The store has a limit or a quota that the backup would pass."""


class BackupMetadataUnsupportedVersion(BackupDriverException):
    """The metadata is of a version that is not known."""


class EncryptedBackupOperationFailed(BackupDriverException):
    """The encryption of a backup does not fit its volume."""
