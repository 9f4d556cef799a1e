# SPDX-License-Identifier: Apache-2.0
"""Notifications of progress that drivers of Cinder's would send: the worker sends them.

The drivers call a function of Cinder's, which is replaced in this process. The facts of the call
become a part of the worker's own notifications.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cinder.volume import volume_utils
from oslo_service import loopingcall

from drivers.interface.pace import Pace

_NAMES = ("id", "prefix", "volume_meta")
_LIST = "list"

_MOST_LISTED = 10_000
"""Objects in one notification, the last ones."""

_FACTS: dict[str, Mapping[str, Any]] = {}
"""The latest facts of each backup that is made now."""


def replace_notifications() -> None:
    """Have drivers of this process send none."""
    volume_utils.notify_about_backup_usage = _note


@contextmanager
def shown(backup_id: str, pace: Pace) -> Iterator[None]:
    """Add the facts of a backup to the notifications of its progress."""
    _FACTS[backup_id] = {}
    pace.show(lambda: _FACTS.get(backup_id, {}))
    try:
        yield
    finally:
        _FACTS.pop(backup_id, None)


def _note(
    _context: Any,
    backup: Any,
    _event: str,
    extra_usage_info: Mapping[str, Any] | None = None,
    host: str | None = None,
) -> None:
    if backup.id not in _FACTS:
        # Of a timer that a driver has left behind, as Cinder's do after an error.
        raise loopingcall.LoopingCallDone
    given = extra_usage_info or {}
    found = {name: given[name] for name in _NAMES if name in given}
    if isinstance(listed := given.get(_LIST), list):
        found[_LIST] = listed[-_MOST_LISTED:]
    _FACTS[backup.id] = found
