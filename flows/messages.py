# SPDX-License-Identifier: Apache-2.0
"""Numbers of user messages: the action, and the detail (spec/volume-rpc §6)."""

from __future__ import annotations

from taskflow.types.failure import Failure

from drivers.interface.errors import (
    BackupLimitExceeded,
    ImageConversionNotAllowed,
    ImageLimitExceeded,
    ImageSignatureVerificationException,
    ImageTooBig,
    SnapshotIsBusy,
    SnapshotLimitExceeded,
)
from flows.errors import (
    AttachFailed,
    DetachFailed,
    DriverNotInitialized,
    InvalidVolumeAttachMode,
    MetadataCopyFailure,
)

ATTACH_VOLUME = "002"
COPY_VOLUME_TO_IMAGE = "003"
COPY_IMAGE_TO_VOLUME = "005"
EXTEND_VOLUME = "007"
CREATE_VOLUME = "008"
CREATE_SNAPSHOT = "009"
DELETE_SNAPSHOT = "010"
CREATE_BACKUP = "013"
DELETE_BACKUP = "014"
RESTORE_BACKUP = "015"
REIMAGE_VOLUME = "016"

WARNING = "WARNING"
"""The level of a message that reports no failure."""

UNKNOWN_ERROR = "001"
DRIVER_NOT_INITIALIZED = "002"
GLANCE_UPLOAD = "004"
ATTACH_MODE = "005"
QUOTA_EXCEEDED = "006"
NO_SPACE_FOR_IMAGE = "007"
ATTACH_FAILED = "021"
COMPUTE_EXTEND = "009"
DRIVER_FAILED_EXTEND = "010"
SIGNATURE = "011"
DRIVER_FAILED_CREATE = "012"
SNAPSHOT_CREATE = "013"
SNAPSHOT_METADATA = "014"
SNAPSHOT_BUSY = "015"
SNAPSHOT_DELETE = "016"
BACKUP_STATE = "017"
BACKUP_SERVICE_DOWN = "018"
BACKUP_DEVICE = "019"
BACKUP_CREATE = "020"
DETACH_FAILED = "022"
BACKUP_CLEANUP = "023"
BACKUP_DELETE = "025"
BACKUP_RESTORE = "026"
VOLUME_STATE = "027"
COMPUTE_REIMAGE = "028"
IMAGE_FORMAT = "029"
INCREMENTAL_IS_FULL = "030"

_BY_ERROR = {
    DriverNotInitialized: DRIVER_NOT_INITIALIZED,
    InvalidVolumeAttachMode: ATTACH_MODE,
    ImageLimitExceeded: QUOTA_EXCEEDED,
    BackupLimitExceeded: QUOTA_EXCEEDED,
    SnapshotLimitExceeded: QUOTA_EXCEEDED,
    ImageTooBig: NO_SPACE_FOR_IMAGE,
    ImageConversionNotAllowed: IMAGE_FORMAT,
    ImageSignatureVerificationException: SIGNATURE,
    SnapshotIsBusy: SNAPSHOT_BUSY,
}
_BY_ACTION: dict[tuple[str, type[Exception]], str] = {
    (CREATE_SNAPSHOT, MetadataCopyFailure): SNAPSHOT_METADATA,
    (CREATE_BACKUP, AttachFailed): ATTACH_FAILED,
    (CREATE_BACKUP, DetachFailed): DETACH_FAILED,
    (RESTORE_BACKUP, AttachFailed): ATTACH_FAILED,
    (RESTORE_BACKUP, DetachFailed): DETACH_FAILED,
}
_SERVICE_DOWN = (CREATE_BACKUP, DELETE_BACKUP, RESTORE_BACKUP)
"""Actions of a service that has one store, and does nothing without it."""


def detail_of(action: str, failure: Failure, default: str) -> str:
    """Return the detail number for a failure; its class overrides the default."""
    if action in _SERVICE_DOWN and failure.check(DriverNotInitialized):
        return BACKUP_SERVICE_DOWN
    for error, detail in _BY_ERROR.items():
        if failure.check(error):
            return detail
    for (of_action, error), detail in _BY_ACTION.items():
        if action == of_action and failure.check(error):
            return detail
    return default
