# SPDX-License-Identifier: Apache-2.0
"""Call a driver for the members of a group, several at once where the driver allows it.

A failed member does not stop the others: the caller decides by the outcome of each.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from oslo_context import context as oslo_context

from drivers.interface.records import Record
from flows.context import VolumeContext
from flows.driver_calls import driver_contract
from flows.errors import RunInterrupted, Unavailable

LOG = logging.getLogger(__name__)

Work = Callable[[Record], Any]
MemberOutcome = tuple[Record, Any, BaseException | None]
"""A member, the result of its work, and the error of its work."""


def each(
    ctx: VolumeContext, members: Sequence[Record], action: str, work: Work
) -> list[MemberOutcome]:
    """Do the same work for each member and return the outcomes in the members' order.

    :param action: the name of the work, for the log line of a failure.
    :param work: calls the driver for a member and writes nothing.
    :raises Unavailable: the database did not answer; the whole step is to be repeated.
    """
    at_once = min(getattr(ctx.driver, "members_at_once", 1), len(members))
    if at_once > 1:
        with ctx.waiting():
            outcomes = _in_threads(at_once, members, work)
    else:
        outcomes = [_outcome(member, work) for member in members]
    for member, _, error in outcomes:
        if isinstance(error, Unavailable | RunInterrupted):
            raise error
        if error is not None:
            text = f"{type(error).__name__}: {driver_contract.masked(error)}"
            LOG.warning("%s %s: %s failed: %s", member.kind, member.id, action, text)
    return outcomes


def _in_threads(at_once: int, members: Sequence[Record], work: Work) -> list[MemberOutcome]:
    """Work in threads that have the context variables and the request of this one."""
    contexts = [contextvars.copy_context() for _ in members]
    request = oslo_context.get_current()  # for the log lines of the driver
    bind = request.update_store if request is not None else lambda: None

    def run(context: contextvars.Context, member: Record) -> MemberOutcome:
        return context.run(_outcome, member, work)

    with ThreadPoolExecutor(at_once, "member", initializer=bind) as executor:
        return list(executor.map(run, contexts, members))


def _outcome(member: Record, work: Work) -> MemberOutcome:
    try:
        return member, work(member), None
    except BaseException as error:  # noqa: BLE001 - the caller raises or judges it
        return member, None, error
