# SPDX-License-Identifier: Apache-2.0
"""holdfast backup apply-policies: make backups that are due, delete those that none keeps."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from oslo_utils import timeutils

from flows.statuses import BackupStatus
from worker.cli.access import CommandError
from worker.cli.chains import policies
from worker.cli.chains.due_backups import DueBackups
from worker.cli.chains.policies import Policy
from worker.cli.chains.prune import FAILURES, KEYS, Pruning
from worker.cli.chains.retention import moment_of
from worker.cli.chains.scrub_state import known_damage
from worker.cli.upkeep.outcome import Outcomes, with_dry_run

if TYPE_CHECKING:
    from drivers.interface.records import Record

DEFAULT_FILE = "/etc/holdfast/backups.toml"

_PRUNED_FOR = 600.0
"""Seconds for which a run deletes, and waits for deletions: the next run has to request in time."""


class ApplyPolicies(Outcomes):
    """Make the backups that are due by the policies, and delete those that they do not keep.

    holdfast-backup-policy.timer runs it every quarter of an hour. The first policy that matches a
    volume applies. The command does not wait for backups. It waits for deletions, one after
    another, for ten minutes in all; those that take longer continue. Times are in UTC.

    Example of /etc/holdfast/backups.toml:
      [[policy]]
      name = "nightly"
      projects = ["0123456789abcdef0123456789abcdef"]
      every = "1d"
      full_every = "4w"
      window = "22:00-05:00"
      jitter = "3h"
      keep_last = 3
      keep_daily = 7
      keep_weekly = 8

    Exit status 0: all was done, or is left out or kept for a reason; 1: something was refused or
    failed, a backup stays in a transient status, or a backup service is not up; 2: wrong usage.
    """

    keys = KEYS

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file and the policy."""
        parser = with_dry_run(super().get_parser(prog_name))
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        file = f"policies, as TOML (default: {DEFAULT_FILE})"
        parser.add_argument("--file", metavar="FILE", default=DEFAULT_FILE, help=file)
        parser.add_argument("--policy", metavar="NAME", help="only this one")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Look at each volume."""
        found = policies.read(parsed_args.file)
        if parsed_args.policy and parsed_args.policy not in [one.name for one in found]:
            raise CommandError(f"{parsed_args.file} has no policy {parsed_args.policy}")
        rows = list(self._rows(found, parsed_args))
        if any(row["outcome"] in FAILURES for row in rows):
            self.refuse()
        return self.table(parsed_args, rows)

    def _rows(
        self, found: Sequence[Policy], options: argparse.Namespace
    ) -> Iterator[dict[str, Any]]:
        """Request first: a deletion may take long."""
        until = time.monotonic() + _PRUNED_FOR
        chosen = list(self._chosen(found, options.policy))
        damaged, dry_run = known_damage(self.access), options.dry_run
        due = DueBackups(self.access, timeutils.utcnow(), damaged, dry_run=dry_run)
        yield from _of_each(chosen, "back up", due.request)
        pruning = Pruning(self.access, dry_run=dry_run, until=until)

        def prune(policy: Policy, volume: Record) -> Iterator[dict[str, Any]]:
            backups = self.access.records.backups.list(volume_id=volume.id)
            yield from pruning.delete(_older_failures(policy, backups), policy.name)
            own = [one for one in backups if policy.is_own(one)]
            yield from pruning.delete(policy.retention.surplus(own, damaged), policy.name)

        yield from _of_each(chosen, "delete", prune)

    def _chosen(self, found: Sequence[Policy], only: str | None) -> Iterator[tuple[Policy, Record]]:
        """Return each volume with its policy."""
        records = self.access.records
        names = {one.id: str(one.name) for one in records.volume_types.list()}
        for volume in sorted(records.volumes.list(), key=lambda one: str(one.id)):
            type_name = names.get(volume.volume_type_id)
            policy = next((one for one in found if one.applies_to(volume, type_name)), None)
            if policy is not None and only in (None, policy.name):
                yield policy, volume


def _of_each(
    chosen: Sequence[tuple[Policy, Record]],
    action: str,
    rows_of: Callable[[Policy, Record], Iterator[dict[str, Any]]],
) -> Iterator[dict[str, Any]]:
    """Yield the rows of all volumes; an error of one volume is a row of it."""
    for policy, volume in chosen:
        try:
            yield from rows_of(policy, volume)
        except Exception as error:  # noqa: BLE001 - the other volumes have their turn
            yield {
                **dict.fromkeys(KEYS, ""),
                "volume_id": volume.id,
                "policy": policy.name,
                "action": action,
                "outcome": "failed",
                "reason": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            }


def _older_failures(policy: Policy, backups: Sequence[Record]) -> Sequence[Record]:
    """Return the failed backups of a policy that a newer one follows, the newest first.

    One that stayed would keep the backup on which it builds from being handed on.
    """
    failed = [one for one in backups if policy.has_named(one) and one.status == BackupStatus.ERROR]
    usable = [one.created_at for one in backups if one.status == BackupStatus.AVAILABLE]
    newest_first = sorted(failed, key=moment_of, reverse=True)
    kept = 1 if not usable or any(one.created_at > max(usable) for one in failed) else 0
    return newest_first[kept:]
