# SPDX-License-Identifier: Apache-2.0
"""Durable progress of a transfer, as a small object in the pool of the backups.

That of a backup has the name of its base image, so that it also keeps a second backup from
writing there: two of them with one parent would mix on the image. It exists while a backup is
being made, and stays after a kill. The same backup continues by it; another one waits, and fails
when the object has not changed for :data:`STALE` seconds. It does not take over from a backup
that is being made, which its service resumes. One that has ended, or has no row any more, has left
its object only: Cinder deletes backups, and does not know it. That is taken over after
:data:`ABANDONED` seconds. The deletion of a backup here removes its object.

Each attempt at a backup puts its own id there: one that finds another id, or no object, was
replaced by another attempt. It notices that at its next checkpoint, gives up, and cleans nothing
up.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from drivers.backup.ceph import ceph_cluster
from drivers.backup.ceph.ceph_cluster import BackupPool, Conflict
from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace

LOG = logging.getLogger(__name__)

STALE = 600.0
"""Seconds without a checkpoint of the owner after which another backup fails."""

ABANDONED = 30.0
"""Seconds without a checkpoint after which the object of a backup that has ended is taken over.

A writer that is alive looks at its row, and ends, much sooner."""

POLL_INTERVAL = 2.0


class WriteProgress:
    """The progress of one transfer.

    :param name: of the object.
    :param owner: fields that identify the transfer; those of another one are not continued.
    :param is_being_made: whether the backup of an id is still to be written.
    """

    def __init__(
        self,
        pool: BackupPool,
        name: str,
        owner: dict[str, Any],
        is_being_made: Callable[[str], bool] = lambda _backup: True,
    ) -> None:
        self._pool = pool
        self._name = name
        self._owner = owner
        self._is_being_made = is_being_made
        self._attempt = uuid.uuid4().hex
        self._data = b""
        self.ready = False
        """Whether the target is prepared for the first byte."""
        self.offset = 0
        """The end of the part that is durable in the target."""
        self.moment = ""
        """Name of the moment of the source of which that part is."""
        self.is_continued = False
        """Whether an earlier attempt has begun it."""

    def take(self, pace: Pace) -> None:
        """Become the only transfer with that object, after the end of any other.

        :raises BackupDriverException: the other one does not move.
        :raises Exception: that ``pace`` raised.
        """
        seen, since, is_logged = b"", time.monotonic(), False
        while True:
            try:
                data = self._text()
                self._pool.create(self._name, data)
                self._data = data
                return
            except Conflict:
                found = self._pool.read(self._name)
            if found is None:
                continue
            if self._is_own(found):
                if self._continue(found):
                    return
                continue
            if found != seen:
                seen, since = found, time.monotonic()
            elif self._is_left(found, time.monotonic() - since):
                if self._replaced(found):
                    return
                continue
            if not is_logged:
                LOG.info("%s: waits for the end of %s", _shown(self._text()), _shown(found))
                is_logged = True
            pace.progress(0.0)
            with pace.waiting():
                time.sleep(POLL_INTERVAL)

    def _is_left(self, found: bytes, quiet: float) -> bool:
        """Return whether the object of another backup can be taken over.

        :raises BackupDriverException: its backup is to continue, and has not for too long.
        """
        owner = str(ceph_cluster.json_of(found).get("backup"))
        if quiet > ABANDONED and not self._is_being_made(owner):
            LOG.warning("%s: backup %s has left it, and is not being made", self._name, owner)
            return True
        if quiet > STALE:
            raise BackupDriverException(self._advice(owner))
        return False

    def start_over(self) -> None:
        """Replace whatever is there, for a transfer that excludes no other."""
        found = self._pool.read(self._name)
        while found is not None and self._is_own(found):
            if self._continue(found):
                return
            found = self._pool.read(self._name)
        data = self._text()
        self._pool.write(self._name, data)
        self._data = data

    def save(self, offset: int, *, ready: bool = True) -> None:
        """Write a checkpoint.

        :raises BackupDriverException: the object was removed, or is another backup's.
        """
        self.offset, self.ready = offset, ready
        data = self._text()
        try:
            self._pool.replace(self._name, self._data, data)
        except Conflict as error:
            text = f"{self._name} was removed or replaced meanwhile: this transfer ends"
            raise BackupDriverException(text) from error
        self._data = data

    def forget(self) -> None:
        """Begin anew."""
        self.offset, self.ready, self.moment = 0, False, ""

    @property
    def is_taken(self) -> bool:
        """Whether this attempt has had the object."""
        return bool(self._data)

    def end(self) -> bool:
        """Remove the object, if it is of this attempt; or of this transfer, if that is not begun.

        :returns: whether it was.
        """
        found = self._pool.read(self._name)
        if found is None or not self._is_own(found):
            return False
        if self.is_taken and ceph_cluster.json_of(found).get("attempt") != self._attempt:
            return False
        return self._pool.remove_unchanged(self._name, found)

    def _continue(self, found: bytes) -> bool:
        """Become the attempt that continues; False where the object has changed meanwhile."""
        known = ceph_cluster.json_of(found)
        self.is_continued = True
        self.offset, self.ready = int(known.get("offset", 0)), bool(known.get("ready"))
        self.moment = str(known.get("moment", ""))
        return self._replaced(found)

    def _replaced(self, found: bytes) -> bool:
        data = self._text()
        try:
            self._pool.replace(self._name, found, data)
        except Conflict:
            return False
        self._data = data
        return True

    def _advice(self, owner: str) -> str:
        state = f"backup {owner} writes to the same image and has not moved for {STALE:.0f} s"
        return f"{state}: let its service resume it, or delete it, and repeat this backup"

    def _is_own(self, found: bytes) -> bool:
        known = ceph_cluster.json_of(found)
        return all(known.get(name) == value for name, value in self._owner.items())

    def _text(self) -> bytes:
        # The time makes each checkpoint differ from the one before, for those who wait.
        now = time.time()
        state = {"offset": self.offset, "ready": self.ready, "moment": self.moment, "at": now}
        known = {**self._owner, "attempt": self._attempt, **state}
        return json.dumps(known, sort_keys=True).encode()


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "replace")[:200]
