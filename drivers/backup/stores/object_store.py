# SPDX-License-Identifier: Apache-2.0
"""The contract of a place where the objects of backups lie.

Names have no path in them but that of the store itself. Any call may come from
several threads at once, and may be repeated.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

from oslo_utils import units

from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.records import Record

PART = units.Mi
"""Bytes that are read of an object at a time."""

_SHORT_LIST = 10_000


class StoreError(BackupDriverException):
    """The store refused or failed; the text says which object, and why."""


class ContainerMissing(StoreError):
    """A container is missing, and this service makes none."""


class Missing(BackupDamaged):
    """An object that should be there is not."""


class ObjectSink(Protocol):
    """An object that is being written."""

    def write(self, data: bytes | memoryview) -> None:
        """Append data. :raises StoreError: it was not taken."""


class ObjectStore(abc.ABC):
    """A place for objects."""

    lists_at_once: ClassVar[bool] = True
    """Whether a listing includes an object that was written just before."""

    creates_containers = True
    """Whether :meth:`prepare` makes containers that are missing."""

    @abc.abstractmethod
    def check(self) -> None:
        """Return whether objects can be kept.

        :raises StoreError: the text names the option to change.
        """

    @abc.abstractmethod
    def container(self, backup: Record) -> str:
        """Return where a backup's objects lie: as its row says, or where new ones go.

        :raises BackupDriverException: the row's place does not belong to this store.
        """

    def containers(self) -> Iterable[str]:
        """Return the containers that may hold backups which no row names."""
        return ()

    @abc.abstractmethod
    def prefix(self, backup: Record) -> str:
        """Return the prefix of the names of a new backup's objects."""

    @abc.abstractmethod
    def prepare(self, container: str) -> None:
        """Make a container where it is missing.

        :raises ContainerMissing: it is missing, and :attr:`creates_containers` is false.
        """

    def require_creation(self, container: str) -> None:
        """Refuse to make a missing container, unless :attr:`creates_containers` is true.

        :raises ContainerMissing: it is not to be made.
        """
        if not self.creates_containers:
            text = "is missing, and backup_create_containers = false: make it"
            raise ContainerMissing(f"the container {container} {text}")

    @abc.abstractmethod
    def listed(self, container: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield names that begin so, with sizes in bytes; none where there is no container.

        A list may be long, and what it holds is not in memory together.
        """

    def names(self, container: str, prefix: str) -> Mapping[str, int]:
        """Return a short list. :raises StoreError: it is long."""
        found: dict[str, int] = {}
        for name, size in self.listed(container, prefix):
            if len(found) >= _SHORT_LIST:
                raise StoreError(f"{container} has more than {_SHORT_LIST} objects {prefix}*")
            found[name] = size
        return found

    @abc.abstractmethod
    def writing(self, container: str, name: str) -> AbstractContextManager[ObjectSink]:
        """Write an object; it is there, whole, when the context ends well, else it is not.

        One of that name is replaced.
        """

    @abc.abstractmethod
    def reading(self, container: str, name: str) -> Iterator[bytes]:
        """Yield an object in parts, none of them empty.

        :raises Missing: it is not there.
        """

    def copy(self, container: str, name: str, into: str, to: str) -> None:
        """Copy an object, by the store itself where it can; one of that name is replaced.

        :raises Missing: it is not there.
        """
        with self.writing(into, to) as sink:
            for part in self.reading(container, name):
                sink.write(part)

    @abc.abstractmethod
    def delete(self, container: str, name: str) -> None:
        """Remove an object; absence is success."""

    def sync(self, container: str, prefix: str) -> None:  # noqa: B027 - a default
        """See that the objects of one backup, and their absence, outlive the machine.

        :raises StoreError: one of them is lost.
        """

    def remove_unfinished(  # noqa: B027 - a default
        self, container: str, prefix: str, backup_id: str = ""
    ) -> None:
        """Remove unfinished objects of one backup, whose writes ended with their process.

        :param backup_id: of the backup, where its prefixes only begin so.
        """

    def forget(self, backup: Record) -> None:  # noqa: B027 - a default
        """Tidy up when the last object of a backup has been deleted.

        Only files and directories that were made for this backup are removed.
        """
