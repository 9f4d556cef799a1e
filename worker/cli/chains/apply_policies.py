# SPDX-License-Identifier: Apache-2.0
"""holdfast backup apply-policies: make backups that are due, delete those that none keeps."""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from oslo_utils import timeutils

from flows.errors import FlowError
from flows.statuses import BackupStatus, VolumeStatus
from worker.cli.access import CommandError
from worker.cli.casting import on_demand
from worker.cli.chains import policies
from worker.cli.chains.policies import Policy
from worker.cli.chains.prune import KEYS, Pruning
from worker.cli.chains.retention import moment_of
from worker.cli.chains.scrub_state import known_damage
from worker.cli.upkeep.outcome import Outcomes, with_dry_run

if TYPE_CHECKING:
    from drivers.interface.records import Record

DEFAULT_FILE = "/etc/holdfast/backups.toml"

_FAILED = (BackupStatus.ERROR, BackupStatus.ERROR_DELETING)
_AFTER_FAILURE = datetime.timedelta(hours=1)
"""Time after a failed backup in which none is requested."""

_PRUNED_FOR = 600.0
"""Seconds after which a run begins with no other deletion: the next run has to request in time."""

_MADE_FROM = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)


class ApplyPolicies(Outcomes):
    """Make the backups that are due by the policies, and delete those that they do not keep.

    holdfast-backup-policy.timer runs it every quarter of an hour. Of several policies the first one
    that a volume fits counts. Backups are only requested here; deletions are waited for, one after
    another. Times are in UTC.

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

    Exit status 0: all was done; 1: something was refused or failed; 2: wrong usage.
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
        if any(row["outcome"] in ("refused", "failed") for row in rows):
            self.refuse()
        return self.table(parsed_args, rows)

    def _rows(
        self, found: Sequence[Policy], options: argparse.Namespace
    ) -> Iterator[dict[str, Any]]:
        records, now = self.access.records, timeutils.utcnow()
        names = {one.id: str(one.name) for one in records.volume_types.list()}
        until = time.monotonic() + _PRUNED_FOR
        chosen: list[tuple[Policy, Record]] = []
        for volume in sorted(records.volumes.list(), key=lambda one: str(one.id)):
            type_name = names.get(volume.volume_type_id)
            policy = next((one for one in found if one.applies_to(volume, type_name)), None)
            if policy is None or options.policy not in (None, policy.name):
                continue
            chosen.append((policy, volume))
            if volume.use_quota is not False:  # a temporary volume has no backups of its own
                backups = records.backups.list(volume_id=volume.id)
                yield from self._made(policy, volume, backups, now, options)
        damaged = known_damage(self.access)
        pruning = Pruning(self.access, dry_run=options.dry_run, until=until)
        for policy, volume in chosen:
            backups = records.backups.list(volume_id=volume.id)
            failed = [
                one for one in backups if policy.has_named(one) and one.status == BackupStatus.ERROR
            ]
            newest_first = sorted(failed, key=moment_of, reverse=True)
            yield from pruning.delete(newest_first[1:], policy.name)
            own = [one for one in backups if policy.is_own(one)]
            yield from pruning.delete(policy.retention.surplus(own, damaged), policy.name)

    def _made(
        self,
        policy: Policy,
        volume: Record,
        backups: Sequence[Record],
        now: datetime.datetime,
        options: argparse.Namespace,
    ) -> Iterator[dict[str, Any]]:
        """Request a backup that is due, and yield its row."""
        schedule, every = policy.schedule, [one for one in backups if policy.is_own(one)]
        own = [one for one in every if one.status not in _FAILED]
        if schedule is None or not schedule.is_due(volume.id, _newest(own), now):
            return
        if any(now - one.created_at < _AFTER_FAILURE for one in every if one not in own):
            return
        if volume.status not in _MADE_FROM or any(
            one.status == BackupStatus.CREATING for one in backups
        ):
            return  # it is asked for again at the next run
        usable = [one for one in own if one.status == BackupStatus.AVAILABLE]
        read_fully = max(filter(None, map(policy.read_fully, usable)), default=None)
        full = schedule.wants_full(read_fully, now)
        found = {
            "volume_id": volume.id,
            "policy": policy.name,
            "action": "back up" if full else "back up incrementally",
            "backup_id": "",
            "moment": now.isoformat(timespec="seconds"),
            "reason": "",
        }
        if options.dry_run:
            yield {**found, "outcome": "would be made"}
            return
        since = now if full or read_fully is None else read_fully
        yield {**found, **self._request(policy, volume, now, since)}

    def _request(
        self, policy: Policy, volume: Record, now: datetime.datetime, read_fully: datetime.datetime
    ) -> dict[str, str]:
        requests = on_demand.backup_requests(self.access, str(volume.project_id), policy.host)
        try:
            sent = requests.create(
                volume,
                None,
                incremental=read_fully != now,
                force=policy.force,
                display_name=policy.name_at(now),
                display_description=policy.described(read_fully),
            )
        except (CommandError, FlowError) as error:
            return {"outcome": "refused", "reason": str(error)}
        assert sent.resource is not None
        return {"outcome": "requested", "backup_id": sent.resource.id}


def _newest(backups: Sequence[Record]) -> datetime.datetime | None:
    return max((one.created_at for one in backups), default=None)
