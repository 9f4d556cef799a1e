# SPDX-License-Identifier: Apache-2.0
"""Errors of operations, apart from those of drivers, and interruptions.

FlowError
├── Invalid                        the request does not fit the resource
│   ├── InvalidInput               also a driver's InvalidInput
│   ├── InvalidVolume
│   │   └── VolumeAttached
│   ├── InvalidSnapshot
│   ├── InvalidBackup
│   ├── InvalidGroup
│   │   └── InvalidConsistencyGroup
│   ├── InvalidUUID
│   ├── InvalidVolumeAttachMode
│   ├── BadResetResourceStatus
│   ├── ExportFailure              the export exists, its data could not be stored
│   ├── MetadataCopyFailure
│   └── StatusChanged              lost a compare-and-set
├── NotFound
│   ├── VolumeNotFound
│   ├── SnapshotNotFound
│   ├── GroupNotFound
│   ├── GroupSnapshotNotFound
│   ├── BackupNotFound
│   ├── VolumeAttachmentNotFound
│   ├── VolumeTypeNotFound
│   └── ServiceNotFound
├── OverQuota
├── VolumeMigrationFailed          a volume stays on its backend, unchanged
├── DriverNotInitialized           the backend did not come up; nothing was asked of it
├── ServiceError                   another service on the bus did not do its part
│   ├── ServiceUnreachable
│   └── ServiceRefused
├── AttachFailed                   a volume could not be opened on this host
├── KeyManagerError                the key manager refused, failed, or is not to be had
│   └── ManagedObjectNotFoundError it has no such key
├── DetachFailed                   a volume is still attached to this host, or exported to it
├── BackupUnwanted                 it was cancelled: its row has another status
├── PartlyFailed                   a group's operation; see its members' statuses
├── DriverReturnedRubbish          the driver's answer breaks its contract
├── OperationInterrupted           interrupted: reverted instead of resumed
│   ├── OperationCancelled         an operator wished so
│   └── OperationTimedOut          its driver took too long, or made no progress
└── Unavailable                    the database did not answer: nothing is decided, wait

RunInterrupted                     no error, and no Exception: the flow stays as it is
├── OperationDeferred              the flow continues when another operation has ended
├── ProcessStopping                the flow, or the message, is taken up after a restart
├── LocksLost                      the flow continues when its locks are taken again
└── ThreadAbandoned                the operation ended without this thread
"""

from __future__ import annotations

from collections.abc import Collection

from drivers.interface import errors as driver_errors
from drivers.interface.pace import OwnershipLost


class FlowError(Exception):
    """Root of the exceptions of operations."""

    code = 500


class Invalid(FlowError):
    """The request does not fit the state of the resource."""

    code = 400


class InvalidInput(Invalid, driver_errors.InvalidInput):
    """An argument is wrong in itself, as the operation found before it called the driver.

    A driver that refuses an argument raises the base class of the same name. A caller on the
    bus gets ``InvalidInput`` for both.
    """


class InvalidVolume(Invalid):
    """The volume cannot take part in this operation."""


class VolumeAttached(InvalidVolume):
    """The volume is attached to an instance or a host."""


class InvalidSnapshot(Invalid):
    """The snapshot cannot take part in this operation."""


class InvalidBackup(Invalid):
    """The backup cannot take part in this operation."""


class InvalidGroup(Invalid):
    """The group, or a member of it, cannot take part in this operation."""


class InvalidConsistencyGroup(InvalidGroup):
    """The consistency group, or a member of it, cannot take part in this operation."""


class InvalidUUID(Invalid):
    """An identifier is not a UUID."""


class InvalidVolumeAttachMode(Invalid):
    """A read-only volume was to be attached for writing."""


class BadResetResourceStatus(Invalid):
    """A resource left the status from which it was to be set back."""


class ExportFailure(Invalid):
    """The driver's columns about an export could not be stored."""


class MetadataCopyFailure(Invalid):
    """Image metadata could not be copied to the new resource."""


class StatusChanged(Invalid):
    """Another operation changed the status first.

    :param resource: kind and id, as ``volume 6f1c…``.
    :param found: the status in the database, None when there is none.
    :param wanted: the statuses from which the change was allowed.
    """

    def __init__(self, resource: str, found: str | None, wanted: Collection[str]) -> None:
        super().__init__(f"{resource} is {found}, not {' or '.join(sorted(wanted))}")
        self.found = found
        self.wanted = tuple(sorted(wanted))


class NotFound(FlowError):
    """The resource has no row, or only a deleted one."""

    code = 404


class VolumeNotFound(NotFound):
    """There is no such volume."""


class SnapshotNotFound(NotFound):
    """There is no such snapshot."""


class GroupNotFound(NotFound):
    """There is no such group."""


class GroupSnapshotNotFound(NotFound):
    """There is no such snapshot of a group."""


class BackupNotFound(NotFound):
    """There is no such backup."""


class VolumeAttachmentNotFound(NotFound):
    """There is no such attachment."""


class VolumeTypeNotFound(NotFound):
    """There is no such volume type."""


class ServiceNotFound(NotFound):
    """There is no service that can do it."""


class OverQuota(FlowError):
    """The project's limit would be passed."""

    code = 413


class VolumeMigrationFailed(FlowError):
    """A volume was not moved, or not given another type; it is unchanged."""


class DriverNotInitialized(FlowError):
    """The backend did not come up, so nothing is sent to its driver."""


class ServiceError(FlowError):
    """Another service on the bus did not do its part."""


class ServiceUnreachable(ServiceError):
    """It did not answer in time, or was not reached."""


class ServiceRefused(ServiceError):
    """It answered with an error, which the text quotes."""


class AttachFailed(FlowError):
    """A volume could not be opened on this host."""


class DetachFailed(FlowError):
    """A volume is still attached to this host, or exported to it."""


class KeyManagerError(FlowError):
    """The key manager refused, failed, or is not to be had; the text names no secret."""


class ManagedObjectNotFoundError(KeyManagerError):
    """The key manager has no such key: it was deleted, or is another manager's."""


class BackupUnwanted(FlowError):
    """A backup, or a restore of it, that is being made is not wanted any more."""


class PartlyFailed(FlowError):
    """An operation on a group failed, and its members' statuses are written already."""


class DriverReturnedRubbish(FlowError):
    """A driver's answer breaks its contract; the text says how."""


class OperationInterrupted(FlowError):
    """The operation was interrupted in a task that is not resumed, or too often."""


class OperationCancelled(OperationInterrupted):
    """An operator asked for its end."""


class OperationTimedOut(OperationInterrupted):
    """A driver's call did not return, or made no progress, within the time it has."""


class Unavailable(FlowError):
    """The database did not answer; whatever was asked may be asked again."""


class RunInterrupted(BaseException):
    """This run of a flow ends here: the thread must neither fail the flow nor revert it.

    Not to be confused with :class:`OperationInterrupted`, with which an operation fails.

    Not an :class:`Exception`, so that neither a driver nor a library takes it for an
    error of its own; every layer from the steps to the RPC server lets it pass.
    """


class ProcessStopping(RunInterrupted):
    """The process is stopping.

    A message is not acknowledged and stays with the broker; a flow is resumed at the
    next start; the caller of a call gets an error.
    """


class OperationDeferred(RunInterrupted):
    """The flow continues when another operation has ended; it holds no thread until then.

    The step that raises it has changed nothing, and is run again.

    :param lock: name of a lock that the other operation holds exclusively.
    """

    def __init__(self, lock: str) -> None:
        super().__init__(f"it waits for the operation that holds {lock}")
        self.lock = lock


class LocksLost(RunInterrupted, OwnershipLost):
    """A server has given up locks of the operation; another process may hold them now."""


class ThreadAbandoned(RunInterrupted):
    """The operation ended without this thread, which was blocked in a driver until now."""
