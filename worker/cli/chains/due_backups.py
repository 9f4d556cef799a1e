# SPDX-License-Identifier: Apache-2.0
"""Request the backups that are due by a policy."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flows.errors import FlowError
from flows.statuses import BackupStatus, VolumeStatus
from worker.cli.access import Access, CommandError
from worker.cli.casting import on_demand

if TYPE_CHECKING:
    from drivers.interface.records import Record
    from worker.cli.casting.backup_requests import BackupRequests
    from worker.cli.chains.policies import Policy

_FAILED = (BackupStatus.ERROR, BackupStatus.ERROR_DELETING)
_AFTER_FAILURE = datetime.timedelta(hours=1)
"""Time after a failed backup in which none is requested."""

_MADE_FROM = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)

_OVERDUE = 2
"""Times ``every`` without a backup, after which a row says why there is none."""


class DueBackups:
    """Requests backups of volumes, by the rows that there are.

    :param damaged: ids of backups that are not to be built on.
    """

    def __init__(
        self, access: Access, now: datetime.datetime, damaged: Collection[str], *, dry_run: bool
    ) -> None:
        self._access = access
        self._now = now
        self._damaged = damaged
        self._dry_run = dry_run

    def request(self, policy: Policy, volume: Record) -> Iterator[dict[str, Any]]:
        """Request a backup of a volume if it is due, and yield its row."""
        if volume.use_quota is False:  # a temporary volume has no backups of its own
            return
        backups = self._access.records.backups.list(volume_id=volume.id)
        every = [one for one in backups if policy.is_own(one)]
        own = [one for one in every if one.status not in _FAILED]
        schedule, now = policy.schedule, self._now
        if schedule is None or not schedule.is_due(volume.id, _newest(own), now):
            return
        if any(now - one.created_at < _AFTER_FAILURE for one in every if one not in own):
            return
        found = {
            "volume_id": volume.id,
            "policy": policy.name,
            "action": "back up",
            "backup_id": "",
            "moment": now.isoformat(timespec="seconds"),
            "reason": "",
        }
        overdue = now - _OVERDUE * schedule.every
        if (obstacle := _obstacle(policy, volume, backups, own, overdue)) is None:
            yield {**found, **self._made(policy, volume, every)}
        elif obstacle:
            yield {**found, **obstacle}

    def _made(self, policy: Policy, volume: Record, every: Sequence[Record]) -> dict[str, str]:
        requests = on_demand.backup_requests(self._access, str(volume.project_id), policy.host)
        try:
            parent, read_fully = self._parent(requests, policy, volume, every)
            action = "back up" if parent is None else "back up incrementally"
            if self._dry_run:
                return {"action": action, "outcome": "would be made"}
            sent = requests.create_on(
                parent,
                volume,
                None,
                force=policy.force,
                display_name=policy.name_at(self._now),
                display_description=policy.described(read_fully),
            )
        except (CommandError, FlowError) as error:
            return {"outcome": "refused", "reason": str(error)}
        assert sent.resource is not None
        return {"action": action, "outcome": "requested", "backup_id": sent.resource.id}

    def _parent(
        self, requests: BackupRequests, policy: Policy, volume: Record, every: Sequence[Record]
    ) -> tuple[Record | None, datetime.datetime]:
        """Return the parent of the next backup, and when the volume was last read fully for it.

        There is none after a failure, since that may lie in the parent: it may be damaged, or in
        a store that the service has no more.
        """
        assert policy.schedule is not None
        parent = requests.parent(volume, None, self._damaged)
        failures = [one.created_at for one in every if one.status == BackupStatus.ERROR]
        if parent is None or any(one > parent.created_at for one in failures):
            return None, self._now
        read_fully = policy.read_fully_for(parent)
        if read_fully is None or policy.schedule.wants_full(read_fully, self._now):
            return None, self._now
        return parent, read_fully


def _obstacle(
    policy: Policy,
    volume: Record,
    backups: Sequence[Record],
    own: Sequence[Record],
    overdue: datetime.datetime,
) -> dict[str, str] | None:
    """Return why there is no backup now; {} where the next run asks again, None for no reason."""
    creating = [one for one in backups if one.status == BackupStatus.CREATING]
    for one in creating:
        if one.created_at <= overdue:
            text = f"backup {one.id} is creating since {one.created_at:%Y-%m-%d %H:%M}"
            advice = f"is its service {one.host} up? see: holdfast backup show {one.id}"
            return {"backup_id": one.id, "outcome": "stuck", "reason": f"{text}: {advice}"}
    if creating:
        return {}
    if volume.status == VolumeStatus.IN_USE and not policy.force:
        text = "the volume is in use, and the policy has force = false"
        return {"outcome": "left out", "reason": text}
    if volume.status in _MADE_FROM:
        return None
    usable = [one for one in own if one.status == BackupStatus.AVAILABLE]
    last = _newest(usable) or volume.created_at
    if last is None or last > overdue:
        return {}
    return {"outcome": "left out", "reason": f"the volume is {volume.status}"}


def _newest(backups: Sequence[Record]) -> datetime.datetime | None:
    return max((one.created_at for one in backups), default=None)
