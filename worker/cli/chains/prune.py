# SPDX-License-Identifier: Apache-2.0
"""holdfast backup prune: delete the backups of a volume that no rule keeps."""

from __future__ import annotations

import argparse
import datetime
import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from oslo_utils import timeutils

from flows.errors import FlowError
from flows.statuses import BackupStatus
from worker.cli.access import Access, CommandError, NoJournal
from worker.cli.casting import on_demand
from worker.cli.chains.retention import Retention, moment_of
from worker.cli.chains.scrub_state import known_damage
from worker.cli.flow import UNDER_WAY
from worker.cli.lookup.candidates import Candidates
from worker.cli.lookup.errors import StillRunning
from worker.cli.upkeep.outcome import Outcomes, with_dry_run
from worker.journal.errors import JournalError

if TYPE_CHECKING:
    from drivers.interface.records import Record

KEYS = ("volume_id", "policy", "action", "backup_id", "moment", "outcome", "reason")
FAILURES = ("refused", "failed", "stuck", "not up")
"""Outcomes with which the command fails."""

_BINARY = "cinder-backup"
_GOES_ON = "goes on"
_GONE = ("deleted", "would be deleted")
_WAIT = 86400.0
_TRIED_AGAIN_AFTER = datetime.timedelta(days=1)
"""Time in which a backup is kept whose data could not be handed on: most reasons are lasting."""


class Prune(Outcomes):
    """Delete the backups of a volume that no rule keeps; the newest one is always kept.

    A backup on which kept ones build is deleted as by "backup delete --hand-on": its data is stored
    with them. The newest is deleted first, and the command waits for the end of each deletion. No
    rule keeps a backup in which a scrub of this host has found damage.

    Examples:
      holdfast backup prune --volume ID --keep-last 3 --keep-daily 7 --dry-run
      holdfast backup prune --volume ID --keep-weekly 8 --keep-monthly 12 -f json

    Exit status 0: all were deleted, continue or are kept for a reason, or there was nothing to
    delete; 1: a deletion was refused or failed, or its backup service is not up; 2: wrong usage.
    """

    keys = KEYS

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the volume and the rules."""
        parser = with_dry_run(super().get_parser(prog_name))
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        add = parser.add_argument
        add("--volume", metavar="ID", required=True, help="whose backups; it may be deleted")
        add("--keep-last", type=_count, default=0, metavar="N", help="the newest N")
        for period, name in (("daily", "days"), ("weekly", "weeks"), ("monthly", "months")):
            text = f"the newest one of each of the newest N {name} that have one"
            add(f"--keep-{period}", type=_count, default=0, metavar="N", help=text)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Delete, or print the deletions."""
        options = parsed_args
        volume_id = self._volume_of_backups(options.volume)
        retention = Retention(
            options.keep_last, options.keep_daily, options.keep_weekly, options.keep_monthly
        )
        if not retention.is_set:
            raise CommandError(
                "choose the backups to keep: --keep-last, -daily, -weekly or -monthly"
            )
        backups = self.access.records.backups.list(volume_id=volume_id)
        pruning = Pruning(self.access, dry_run=options.dry_run)
        surplus = retention.surplus(backups, known_damage(self.access))
        rows = list(pruning.delete(surplus))
        if any(row["outcome"] in FAILURES for row in rows):
            self.refuse()
        return self.table(options, rows)

    def _volume_of_backups(self, wanted: str) -> str:
        """Return the whole id of a volume with backups, which may be deleted itself."""
        found = Candidates("volume", wanted)
        for backup in self.access.records.backups.list():
            found.add(str(backup.volume_id), str(backup.volume_id))
        return str(found.only("backup list"))


class Pruning:
    """Deletes backups in order, and waits for the end of each.

    :param until: in monotonic seconds; no deletion begins later, and none is waited for longer.
    """

    def __init__(self, access: Access, *, dry_run: bool, until: float = math.inf) -> None:
        self._access = access
        self._until = until
        self._dry_run = dry_run

    def delete(self, surplus: Sequence[Record], policy: str = "") -> Iterator[dict[str, Any]]:
        """Delete backups of a volume, the newest first, and yield a row for each.

        The older ones wait for one whose deletion goes on: it would be given their data.
        """
        gone: set[str] = set()
        for backup in surplus:
            if time.monotonic() > self._until:
                return
            children = self._access.records.backups.dependants(backup.id)
            left = sorted(set(children) - gone)
            action = "hand on" if left else "delete"
            found = {
                "volume_id": backup.volume_id,
                "policy": policy,
                "action": action,
                "backup_id": backup.id,
                "moment": moment_of(backup).isoformat(timespec="seconds"),
                "reason": "",
            }
            outcome = self._outcome(backup, left)
            yield {**found, **outcome}
            if outcome["outcome"] == _GOES_ON:
                return
            if outcome["outcome"] in _GONE:
                gone.add(backup.id)

    def _outcome(self, backup: Record, children: Sequence[str]) -> dict[str, str]:
        host = str(backup.host or "")
        if host and not self._is_up(host):
            text = f"backup service {host} is not up; see: holdfast service list"
            return {"outcome": "not up", "reason": text}
        if children and (running := self._running(backup)):
            return {"outcome": _GOES_ON, "reason": f"see: holdfast flow show {running}"}
        if children and (reason := _failed_lately(backup) or self._in_use(children)):
            return {"outcome": "kept", "reason": reason}
        if self._dry_run:
            return {"outcome": "would be deleted"}
        return self._delete(backup)

    def _is_up(self, host: str) -> bool:
        rows = self._access.records.services.list(binary=_BINARY, host=host)
        return any(self._access.is_up(one) for one in rows)

    def _in_use(self, children: Sequence[str]) -> str:
        """Return why backups that build on one cannot be given its data now, or ""."""
        rows = filter(None, map(self._access.records.backups.find, children))
        for one in (row for row in rows if row.status != BackupStatus.AVAILABLE):
            return f"backup {one.id}, which builds on it, is {one.status}"
        return ""

    def _running(self, backup: Record) -> str | None:
        """Return the flow that an earlier run began and that has not ended, if a journal shows."""
        try:
            entries = self._access.journal.entries(among=UNDER_WAY)
        except (NoJournal, JournalError):
            return None
        resource = f"backup {backup.id}"
        found = (one.flow for one in entries if one.resource == resource)
        return next(found, None)

    def _delete(self, backup: Record) -> dict[str, str]:
        try:
            row = self._access.records.backups.get(backup.id)
            requests = on_demand.backup_requests(self._access)
            sent = requests.delete(row, force=False, hand_on=True)
        except (CommandError, FlowError) as error:
            return {"outcome": "refused", "reason": str(error)}
        left = max(0.0, min(_WAIT, self._until - time.monotonic()))
        try:
            on_demand.wait_for_end(self._access, sent, lambda _line: None, left)
        except StillRunning as error:
            return {"outcome": _GOES_ON, "reason": str(error)}
        except CommandError as error:
            return {"outcome": "failed", "reason": str(error)}
        return {"outcome": "deleted"}


def _failed_lately(backup: Record) -> str:
    """Return why the data of a backup could not be handed on less than a day ago, or ""."""
    changed = backup.updated_at or backup.created_at
    lately = timeutils.utcnow() - changed < _TRIED_AGAIN_AFTER
    return str(backup.fail_reason or "") if lately else ""


def _count(text: str) -> int:
    """Return a number of backups. :raises ArgumentTypeError: it is none."""
    if not text.isascii() or not text.isdigit() or int(text) > 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of backups")
    return int(text)
