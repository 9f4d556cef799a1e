# SPDX-License-Identifier: Apache-2.0
"""Write the host of backups whose operations this host has adopted from a dead one.

The API sends later requests to ``backups.host``, and steps refuse backups of another host. So
the row is written before an adopted operation resumes, and once more at each start, for a
process that was killed between the two.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from taskflow.persistence.models import FlowDetail

from flows import repeat
from flows.errors import Unavailable
from flows.factories import NotOfThisVersion
from flows.statuses import BackupStatus
from worker.db.records import Records
from worker.journal.entries.stored_operation import operation_of
from worker.journal.errors import UnreadableEntry

LOG = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds between two attempts to write the rows."""

WHEN: Mapping[str, Collection[str]] = {
    "create_backup": (BackupStatus.CREATING,),
    "continue_backup": (BackupStatus.CREATING,),
    "import_record": (BackupStatus.CREATING,),
    "restore_backup": (BackupStatus.RESTORING,),
    "delete_backup": (BackupStatus.DELETING,),
    "delete_from_chain": (BackupStatus.AVAILABLE, BackupStatus.DELETING),
    "consolidate_backup": (BackupStatus.AVAILABLE, BackupStatus.RESTORING),
    "reset_status": tuple(BackupStatus),
}
"""Statuses of a backup while an operation of each method is running: in another one the row may
belong to a later operation, of the host that it names."""


class AdoptedBackups:
    """Gives rows of backups to this host.

    :param others: returns the other hosts of the pool, living or dead.
    """

    def __init__(
        self,
        records: Records,
        host: str,
        others: Callable[[], Collection[str]],
        stopping: threading.Event,
    ) -> None:
        self._records = records
        self._host = host
        self._others = others
        self._stopping = stopping

    def take(self, flows: Sequence[FlowDetail]) -> None:
        """Write the rows of operations that are this host's now; an outage is waited for.

        :raises ProcessStopping: the process stops meanwhile.
        """
        if not flows or not (others := self._others()):
            return
        for flow in flows:
            repeat.until_stopped(
                functools.partial(self._take_one, flow, others),
                self._stopping.wait,
                on=Unavailable,
                first=PAUSE,
                longest=PAUSE,
                failed=repeat.first_only(
                    lambda error, _pause: LOG.warning("adopted backups have to wait: %s", error)
                ),
            )

    def _take_one(self, flow: FlowDetail, others: Collection[str]) -> None:
        try:
            operation = operation_of(flow)
        except (NotOfThisVersion, UnreadableEntry):
            return  # reported when it is to be resumed
        kind, backup_id = operation.resource
        if kind != "backup" or (when := WHEN.get(operation.method)) is None:
            return
        if self._records.backups.adopt(backup_id, self._host, former=others, when=when):
            LOG.info("backup %s is on %s from now on", backup_id, self._host)
