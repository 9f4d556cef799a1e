# SPDX-License-Identifier: Apache-2.0
"""The clock of the database, compared with ours.

Rows carry times of every service that writes them; Cinder's own checks compare them with the
clock of the reading process. So a difference is worth a line in the log.
"""

from __future__ import annotations

import datetime
import logging

import sqlalchemy as sa
from oslo_utils import timeutils

from flows.errors import Unavailable
from worker.db.database import Database

LOG = logging.getLogger(__name__)

SKEW_MAX = 30.0
"""Seconds by which the clocks may differ without a line in the log."""

_NOW = {
    "mysql": sa.text("SELECT UTC_TIMESTAMP(6)"),
    "postgresql": sa.text("SELECT clock_timestamp() AT TIME ZONE 'UTC'"),
}
"""Queries for the time in UTC; SQLite has the clock of this process."""

_NOW["mariadb"] = _NOW["mysql"]


def skew(database: Database) -> float:
    """Return by how many seconds the database's clock is ahead of ours; 0 for SQLite.

    :raises Unavailable: the database did not answer.
    """
    query = _NOW.get(database.engine.dialect.name)
    if query is None:
        return 0.0
    before = timeutils.utcnow()
    theirs: datetime.datetime = database.read(lambda c: c.execute(query).scalar_one())
    after = timeutils.utcnow()
    nearest = min(max(theirs, before), after)  # the answer may have taken long
    return (theirs - nearest).total_seconds()


def warn_of_skew(database: Database) -> None:
    """Log a difference of the clocks that is too large."""
    try:
        seconds = skew(database)
    except Unavailable as error:
        LOG.debug("the clock of the database is unknown: %s", error)
        return
    if abs(seconds) > SKEW_MAX:
        LOG.warning(
            "the clock of %s is %.0f s %s ours: set both by NTP; Cinder takes services with such"
            " clocks for down, or dead ones for up",
            *(database.shown, abs(seconds), "ahead of" if seconds > 0 else "behind"),
        )
