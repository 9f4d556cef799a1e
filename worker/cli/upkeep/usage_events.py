# SPDX-License-Identifier: Apache-2.0
"""Notifications about the resources that existed in a period."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from drivers.interface.records import Record
from worker.cli.access import Access, CommandError
from worker.rpc.notifications.notifier import Notifier
from worker.rpc.request_context import RequestContext

KINDS = ("volume", "snapshot", "backup")

_FLUSHED = 1000
"""Notifications after which those that wait are sent, as their queue is bounded."""

_SECONDS = 300.0
"""Time for so many notifications to be sent."""


class UsageEvents:
    """Sends the events of a period.

    :param begin: of the period (UTC); ``end`` likewise.
    :param actions: whether creations and deletions inside the period are sent as well.
    """

    def __init__(
        self, access: Access, begin: datetime.datetime, end: datetime.datetime, *, actions: bool
    ) -> None:
        self._access = access
        self._begin, self._end, self._actions = begin, end, actions
        self._request = RequestContext.admin()

    def count(self) -> dict[str, int]:
        """Return how many events of each kind would be sent."""
        return {kind: sum(1 for _one in self._events(kind)) for kind in KINDS}

    def send(self) -> dict[str, int]:
        """Send the events, and return how many of each kind.

        :raises CommandError: some were not sent, or no driver of notifications is configured.
        """
        conf = self._access.conf
        notifier = Notifier(conf, host=conf.host, row_hosts=False)
        if not notifier.enabled:
            raise CommandError("[oslo_messaging_notifications] driver sends nothing")
        try:
            sent = {kind: self._send(kind, notifier) for kind in KINDS}
            if not notifier.flush(_SECONDS) or notifier.dropped:
                raise CommandError("not all notifications were sent: see the bus, and run it again")
        finally:
            notifier.close()
        return sent

    def _send(self, kind: str, notifier: Notifier) -> int:
        send: Callable[..., None] = getattr(notifier, kind)
        count = 0
        for event, record, begin, end in self._events(kind):
            period = {"audit_period_beginning": str(begin), "audit_period_ending": str(end)}
            send(self._request, event, record, **period)
            count += 1
            if count % _FLUSHED == 0 and not notifier.flush(_SECONDS):
                raise CommandError(f"the bus has not taken {_FLUSHED} notifications")
        return count

    def _events(self, kind: str) -> Iterator[tuple[str, Record, Any, Any]]:
        """Yield event, resource, and both ends of its period."""
        records = self._access.records
        make = getattr(records, f"{kind}s").record
        for row in records.stored.active(kind, self._begin, self._end):
            record = make(row)
            yield "exists", record, self._begin, self._end
            for name, at in (("create", record.created_at), ("delete", record.deleted_at)):
                if self._actions and at is not None and self._begin < at < self._end:
                    yield f"{name}.start", record, at, at
                    yield f"{name}.end", record, at, at
