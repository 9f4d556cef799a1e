# SPDX-License-Identifier: Apache-2.0
"""Change of the chain that a stored backup belongs to, without its volume.

A backup is stored a second time, with another prefix, and its row is switched to that. Until
then nothing that a restore reads is touched; afterwards the first copy is removed.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from drivers.backup.chains.rewrite_run import RewriteRun
from drivers.backup.format import layout, prefixes
from drivers.backup.format.block_hashes import BlockHashes
from drivers.backup.format.layout import StoredObject
from drivers.backup.format.object_writer import ObjectTarget
from drivers.backup.stores import local_files
from drivers.backup.stores.object_store import ObjectStore
from drivers.backup.transfer import checkpoint, stored_names
from drivers.backup.transfer.chain import Chain, ChainLink, require_stored
from drivers.backup.transfer.checkpoint import Checkpoint
from drivers.backup.transfer.limits import TransferLimits
from drivers.backup.transfer.recorded_backups import RecordedBackups, require_own
from drivers.interface.backup import BackupDriver
from drivers.interface.errors import BackupDriverException
from drivers.interface.optional import Update
from drivers.interface.pace import Pace
from drivers.interface.records import Record

REWRITE = "rewrite"
"""Suffix of the work file."""


class ChainChanges(BackupDriver):
    """The part of a driver of a store of objects that changes chains."""

    _store: ObjectStore
    _work: Path
    _limits: TransferLimits
    _compression: str
    _max_object_size: int

    def other_place(self, backup: Record) -> str:
        """Return another prefix: of the present moment, or of the next second."""
        return prefixes.at_another_moment(self._store.prefix(backup), backup.service_metadata)

    def rewrite(
        self,
        backup: Record,
        base: Record | None,
        service_metadata: str,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
    ) -> Update:
        """Copy whole objects, join parts of others, and write the metadata last.

        An attempt continues one of this host, whose process has ended; any other begins anew, with
        a prefix of its own: late writes of a frozen host are not among its objects.
        """
        require_own(backup, service_metadata)
        if service_metadata == backup.service_metadata:
            raise BackupDriverException(f"backup {backup.id} cannot be stored over itself")
        path = self._work_file(str(backup.id), REWRITE)
        with _attempt(path, service_metadata) as prefix:
            return self._rewrite(backup, base, {"place": service_metadata, "prefix": prefix}, pace)

    def _rewrite(
        self, backup: Record, base: Record | None, attempt: dict[str, Any], pace: Pace
    ) -> Update:
        container, prefix = self._recorded.location(backup)[0], attempt["prefix"]
        base_id = None if base is None else str(base.id)
        if (count := self._rewritten(backup, base_id, container, prefix)) is not None:
            return _update(prefix, base_id, count)
        links = self._recorded.links(backup, base_id)
        for link in links:
            require_stored(self._store, link, self._work)
        self._store.prepare(container)
        objects = self._stored_anew(links, container, attempt, pace)
        if base_id is None:
            layout.require_no_gap(objects, str(backup.id))
        own = links[-1]
        hashes = f"{own.prefix}{layout.BLOCK_HASHES}"
        self._store.copy(container, hashes, container, f"{prefix}{layout.BLOCK_HASHES}")
        manifest = dataclasses.replace(own.manifest, parent_id=base_id, objects=objects)
        if self._store.lists_at_once:
            require_stored(self._store, ChainLink(manifest, container, prefix), self._work)
        with self._store.writing(container, f"{prefix}{layout.METADATA}") as sink:
            manifest.write(sink)
        self._store.sync(container, prefix)
        return _update(prefix, base_id, len(objects))

    def remove_copy(self, backup: Record, service_metadata: str) -> None:
        """Remove the objects of all attempts that the row does not name, the metadata first."""
        require_own(backup, service_metadata)
        if service_metadata == backup.service_metadata and not backup.get("deleted"):
            raise BackupDriverException(f"backup {backup.id} is stored there: it stays")
        self._work_file(str(backup.id), REWRITE).unlink(missing_ok=True)
        kept = None if backup.get("deleted") else backup.service_metadata
        self._remove_objects(self._store.container(backup), service_metadata)
        self._remove_copies(backup, prefixes.all_attempts(service_metadata), kept)
        self._store.forget(backup)

    def _remove_copies(self, backup: Record, begin: str, kept: str | None) -> None:
        """Remove the objects of all of a backup's prefixes that begin so, but for one prefix."""
        container, key = self._store.container(backup), str(backup.id)
        for prefix in stored_names.own_prefixes(self._store, container, begin, key) - {kept}:
            self._remove_objects(container, prefix)
        self._store.remove_unfinished(container, begin, key)

    def _remove_objects(self, container: str, prefix: str) -> None:
        """Remove the objects of a backup, the metadata first: without it the rest is not one."""
        self._store.delete(container, f"{prefix}{layout.METADATA}")
        for names in stored_names.own_names(self._store, container, prefix):
            for name in names:
                self._store.delete(container, name)
        self._store.remove_unfinished(container, prefix)
        self._store.sync(container, prefix)

    @property
    def _recorded(self) -> RecordedBackups:
        return RecordedBackups(self._store, self._work)

    def _work_file(self, key: str, kind: str) -> Path:
        raise NotImplementedError

    def _rewritten(
        self, backup: Record, base_id: str | None, container: str, prefix: str
    ) -> int | None:
        """Return the number of objects that an earlier try has stored, where it has finished."""
        as_made = backup.replace(object_count=None)  # the number in the row is of the other copy
        found = self._recorded.finished_manifest(as_made, container, prefix)
        return None if found is None or found.parent_id != base_id else len(found.objects)

    def _stored_anew(
        self, links: list[ChainLink], container: str, attempt: dict[str, Any], pace: Pace
    ) -> list[StoredObject]:
        path = self._work_file(links[-1].manifest.backup_id, REWRITE)
        target = ObjectTarget(
            self._store, container, attempt["prefix"], self._compression, self._max_object_size
        )
        transfer: dict[str, Any] = {
            **attempt,
            "links": [link.prefix for link in links],
            "size": self._max_object_size,
        }
        chain = Chain(self._store, links, self._work)
        _require_one_length(chain, links)
        with ExitStack() as stack:
            read: list[tuple[ChainLink, BlockHashes | None]] = []
            for link in reversed(links):
                is_sealed = link.manifest.sealed  # each of its objects is described well enough
                hashes = None if is_sealed else stack.enter_context(chain.block_hashes(link))
                read.append((link, hashes))
            progress = stack.enter_context(Checkpoint(path, transfer))
            return RewriteRun(self._limits, read, target, progress).run(pace)


def _require_one_length(chain: Chain, links: list[ChainLink]) -> None:
    """Refuse a chain of devices whose lengths differ: the hashes of the newest would not fit.

    :raises BackupDriverException: nothing was stored.
    """
    own = links[-1]
    end = max((one.end for link in links for one in link.manifest.objects), default=0)
    with chain.block_hashes(own) as hashes:
        if -(-end // hashes.block_size) > hashes.count:
            text = "builds on one of a longer volume: its chain stays as it is"
            raise BackupDriverException(f"{own.label} {text}")


def _update(prefix: str, base_id: str | None, count: int) -> dict[str, Any]:
    return {"service_metadata": prefix, "parent_id": base_id, "object_count": count}


@contextmanager
def _attempt(path: Path, place: str) -> Iterator[str]:
    """Give the prefix of an attempt: that of an earlier one whose process has ended, or a new one.

    A process that is frozen holds the lock of its work file, which is left to it then.
    """
    with ExitStack() as stack:
        fd = _opened(stack, path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            path.unlink(missing_ok=True)
            fcntl.flock(_opened(stack, path), fcntl.LOCK_EX | fcntl.LOCK_NB)
        earlier = checkpoint.transfer_of(path)
        is_same = earlier.get("place") == place
        yield str(earlier["prefix"]) if is_same else prefixes.of_attempt(place)


def _opened(stack: ExitStack, path: Path) -> int:
    with local_files.explained(path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, fd)
    return fd
