# SPDX-License-Identifier: Apache-2.0
"""Requests of backups, and waits for operations, whose modules are imported only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from worker.cli.access import Access

if TYPE_CHECKING:
    from worker.cli.casting.backup_requests import BackupRequests
    from worker.cli.casting.requests import Sent


def backup_requests(
    access: Access, project: str = "admin", host: str | None = None
) -> BackupRequests:
    """Return the object that makes requests of backups.

    :param host: the host of the backup service; None for that of this machine.
    """
    # Late: SQLAlchemy and taskflow take a second, which help does not need.
    from worker.cli.casting.backup_requests import BackupRequests

    return BackupRequests(access, project, host)


def wait_for_end(access: Access, sent: Sent, write: Callable[[str], None], seconds: float) -> str:
    """Wait for the end of an operation, and return how it ended.

    :param write: gets a line for each change.
    :raises StillRunning: it did not end in time.
    :raises CommandError: it failed.
    """
    # Late: SQLAlchemy and taskflow take a second, which help does not need.
    from worker.cli.casting.waiting import CastWait

    return CastWait(access, sent, write).until_end(seconds)
