# SPDX-License-Identifier: Apache-2.0
"""Note in the state path that a process ends because it could not renew its lease.

The operations of its slot were not interrupted by a fault of theirs. If the restarted process
gets the slot back, they are suspended and not interrupted.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

LOG = logging.getLogger(__name__)

_DIRECTORY = "leases"


class LeaseNote:
    """The note of one slot.

    :param owner: of the slot, in this life of the process.
    """

    def __init__(self, state_path: str, slot: str, owner: str) -> None:
        name = uuid.uuid5(uuid.NAMESPACE_URL, slot).hex
        self._file = Path(state_path) / _DIRECTORY / name
        self._owner = owner
        self._written = False

    def write(self) -> None:
        """Note that the process is about to be killed."""
        try:
            self._file.parent.mkdir(exist_ok=True)
            self._file.write_text(self._owner)
            self._written = True
        except OSError as error:
            LOG.warning("the loss of a lease cannot be noted and counts as a crash: %s", error)

    def withdraw(self) -> None:
        """Remove the note again: the lease was renewed in the last moment."""
        if self._written:
            self._file.unlink(missing_ok=True)
            self._written = False

    def take(self, former: str | None) -> bool:
        """Remove the note of the former owner; return whether it was there."""
        try:
            found = self._file.read_text()
        except OSError:
            return False
        self._file.unlink(missing_ok=True)
        return former is not None and found == former
