# SPDX-License-Identifier: Apache-2.0
"""What an RPC method asks for: a flow, its arguments, and the locks around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flows.engine import Factory


@dataclass(frozen=True)
class Operation:
    """One run of a flow.

    :param factory: a flow factory that can be imported by its name.
    :param resource: kind and id, for log lines and listings.
    :param args: JSON values only, since the journal stores them.
    :param exclusive: names of locks that no other operation may hold meanwhile.
    :param shared: names of locks that other readers may hold meanwhile.
    :param answer: makes a call's answer out of the flow's result.
    :param when_cut_short: what becomes of it after a kill: ``finish``, or ``revert``
        where it is of no use to anybody once its caller has gone.
    :param moves_data: whether it takes as long as its data is large: it waits for others
        of its kind then, and nothing else waits for it.
    """

    factory: Factory
    resource: tuple[str, str]
    args: Mapping[str, Any]
    exclusive: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    answer: Callable[[Any], Any] | None = None
    when_cut_short: Literal["finish", "revert"] = "finish"
    moves_data: bool = False


def volume_lock(volume_id: str) -> str:
    """The lock of whatever changes a volume on its backend (spec/service §6)."""
    return f"{volume_id}-delete_volume"


def snapshot_lock(snapshot_id: str) -> str:
    """The lock of whatever changes a snapshot on its backend (spec/service §6)."""
    return f"{snapshot_id}-delete_snapshot"


def backup_lock(backup_id: str) -> str:
    """The lock of whatever changes a backup in its store."""
    return f"{backup_id}-backup"
