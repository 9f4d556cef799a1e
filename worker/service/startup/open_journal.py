# SPDX-License-Identifier: Apache-2.0
"""Open the journal at the start: check its file, wait for its server, upgrade its tables."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from worker import database_url
from worker.db.error_kinds import ErrorKind, kind_of
from worker.journal import sqlite_file
from worker.journal.errors import JournalError, JournalUnavailable
from worker.journal.journal import Journal
from worker.service.startup.database_wait import when_available
from worker.service.startup.start_refused import StartRefused

LOG = logging.getLogger(__name__)


def open_journal(
    url: str, stopping: threading.Event, keep_failed: Callable[[], int] | None = None
) -> Journal:
    """Open the journal; wait for the server of one that is no file.

    :param keep_failed: returns how many bytes of failed operations are kept.
    :raises StartRefused: it cannot be used, or its server refuses the password or the database.
    """
    path = database_url.file_of(url)
    if path is not None and (found := sqlite_file.problems(path, at_start=True)):
        advice = "run: holdfast journal check"
        raise StartRefused(f"the journal {path} is damaged ({found[0].splitlines()[0]}); {advice}")
    if path is not None and path.exists() and path.stat().st_size == 0:
        LOG.warning("the journal %s is empty: no operation is resumed from it", path)

    def upgrade() -> None:
        try:
            journal.upgrade()
        except JournalUnavailable as error:
            if kind_of(error.__cause__ or error) is ErrorKind.REFUSED:
                raise JournalError(str(error)) from error
            raise

    try:
        journal = Journal(url, keep_failed)
        if path is None:
            when_available(upgrade, stopping, JournalUnavailable, "the journal's database")
        else:
            upgrade()
    except JournalError as error:
        # Without a journal no message may be acknowledged.
        raise StartRefused(f"[journal] connection cannot be used: {error}") from error
    return journal
