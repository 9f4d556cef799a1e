# SPDX-License-Identifier: Apache-2.0
"""Work on the members of a group beside one another, as far as the driver allows it.

Members are tasks of an unordered flow. One that fails does not keep the others: what
became of each is for the caller to judge.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from oslo_context import context as oslo_context
from taskflow import engines, task
from taskflow.patterns import unordered_flow

from drivers.interface.records import Record
from flows import driver_contract
from flows.context import Context
from flows.errors import Interrupted, Unavailable

LOG = logging.getLogger(__name__)

Outcome = tuple[Record, Any, BaseException | None]
"""A member, what its work returned, and what it raised."""


class _Member(task.Task):  # type: ignore[misc]
    """The work on one member; what surrounds it is that of the thread which made it."""

    def __init__(self, member: Record, work: Callable[[Record], Any]) -> None:
        super().__init__(name=member.id)
        self.outcome: Outcome = (member, None, None)
        self._work = work
        self._around = contextvars.copy_context()
        self._request = oslo_context.get_current()  # for the log lines of the driver

    def execute(self) -> None:
        self._around.run(self._execute)

    def _execute(self) -> None:
        member = self.outcome[0]
        if self._request is not None:
            self._request.update_store()
        try:
            self.outcome = (member, self._work(member), None)
        except BaseException as error:  # noqa: BLE001 - raised or judged by the caller
            self.outcome = (member, None, error)


def each(
    ctx: Context, members: Sequence[Record], what: str, work: Callable[[Record], Any]
) -> list[Outcome]:
    """Do the same with each member and return the outcomes in the members' order.

    :param what: is being done, for the log of a failure.
    :param work: is given a member; it calls the driver and writes nothing.
    :raises Unavailable: the database did not answer; all of it is to be tried again.
    """
    tasks = [_Member(member, work) for member in members]
    flow = unordered_flow.Flow("members").add(*tasks)
    at_once = min(getattr(ctx.driver, "members_at_once", 1), len(tasks))
    if at_once > 1:
        # An executor of ours: taskflow's own takes a second to end its threads.
        with ctx.waiting(), ThreadPoolExecutor(at_once, "member") as executor:
            engines.run(flow, engine="parallel", executor=executor)
    else:
        engines.run(flow, engine="serial")
    for member, _, error in (one.outcome for one in tasks):
        if isinstance(error, Unavailable | Interrupted):
            raise error
        if error is not None:
            text = f"{type(error).__name__}: {driver_contract.masked(error)}"
            LOG.warning("%s %s: %s failed: %s", member.kind, member.id, what, text)
    return [one.outcome for one in tasks]
