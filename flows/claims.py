# SPDX-License-Identifier: Apache-2.0
"""Claim of an operation on its resource: proof that the operation has not ended yet.

The journal may be older than the database, after a power cut or from a copy that was put
back. Then it shows an operation as running that has ended, and whose resource is in use by
now. So a resumed operation touches the backend only if the row still shows its claim: the
transient status, and for statuses that a resource may have more than once also the
operation's mark. The mark is a number in the resource's row of ``workers``; the first step
writes it, and the transaction that ends the status deletes it.

====================  ===========================================================
part                  where
====================  ===========================================================
claim is made         :meth:`flows.lifecycle.Step.claim` of the first step
mark is written       :meth:`HeldClaim.take`, at the end of that step
claim is checked      :class:`flows.engine.flow_run.FlowRun`, before a resumed flow runs
status is ended       :class:`ClaimedRows`, around the rows that flows write
====================  ===========================================================
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from drivers.interface.records import Record
from flows.errors import NotFound, StatusChanged
from flows.protocols.backends import serves

WORK_TYPES = {
    "volume": "Volume",
    "snapshot": "Snapshot",
    "group": "Group",
    "consistencygroup": "ConsistencyGroup",
}
"""Kinds of resources that can be marked, with their names in ``workers``."""

FIRST_MARK = 1 << 29
"""Marks are at least this large; the counts that other rows have stay far below."""

_UNDER_MARK = frozenset({"transition", "migrate", "swap", "set_replication"})
"""Methods of records that take a mark: it is compared, and deleted with the status."""

ContextT = TypeVar("ContextT", bound=Any)


@dataclass(frozen=True)
class Claim:
    """The state of a row for as long as an operation works on it.

    :param kind: of the resource, as records name it, or ``service`` for the service's own row.
    :param statuses: values of ``column`` while the operation runs.
    :param before_begin: those before its first step has ended, where they are others: without its
        mark, a status in which an earlier attempt has ended proves nothing.
    :param handed_over: statuses in which the mark of the operation that hands the resource over may
        still be there: the mark of this one takes its place.
    :param unmarked: whether the status alone proves the claim, without a mark: a resource has it
        for one operation in its life, or any operation does the same in it.
    :param until_end: whether the operation continues after the status has ended; its mark is
        then deleted at its end only.
    :param on_backend: whether the row has to name this backend as well.
    :param unset: columns that are empty until the operation ends.
    :param makes_row: whether the first step makes the row, so that there is none before it.
    :param status_stays: whether the status may stay after the end of the operation: then only the
        journal has that end, so it has to be on the disk.
    """

    kind: str
    resource_id: str
    statuses: tuple[str, ...]
    column: str = "status"
    before_begin: tuple[str, ...] | None = None
    handed_over: tuple[str, ...] = ()
    unmarked: bool = False
    until_end: bool = False
    on_backend: bool = False
    unset: tuple[str, ...] = ()
    makes_row: bool = False
    status_stays: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.resource_id}".strip()

    def shown_by(self, ctx: Any, record: Record) -> bool:
        """Return whether a row is in the claimed state, apart from the mark."""
        if self.on_backend and not serves(ctx.backend, record):
            return False
        return record[self.column] in self.statuses and not any(record[n] for n in self.unset)

    def find(self, ctx: Any) -> Record | None:
        """Return the live row as it is now, or a deleted backup's; None where there is none."""
        try:
            return self._get(ctx)
        except NotFound:
            return None

    def _get(self, ctx: Any) -> Record | None:
        if self.kind == "service":
            return ctx.service.get()  # type: ignore[no-any-return]
        if self.kind in ("group", "consistencygroup", "group_snapshot", "cgsnapshot"):
            return ctx.groups[self.kind].get(self.resource_id)  # type: ignore[no-any-return]
        if self.kind == "backup":
            return ctx.backups.find(self.resource_id)  # type: ignore[no-any-return]
        if self.kind == "volume":
            return ctx.volumes.current(self.resource_id)  # type: ignore[no-any-return]
        return getattr(ctx, f"{self.kind}s").get(self.resource_id)  # type: ignore[no-any-return]


@dataclass
class HeldClaim:
    """The claim of one run of a flow.

    :param number: the mark; None where the operation makes none.
    :param taken: whether the first step has written the mark.
    :param maybe_taken: whether an interrupted first step may have written it.
    :param unchecked: whether a resumed flow runs without a check, as only bookkeeping remained.
    """

    claim: Claim
    number: int | None = None
    taken: bool = False
    maybe_taken: bool = False
    unchecked: bool = False
    _lost: bool = False

    @property
    def work_type(self) -> str:
        """The resource's type in ``workers``."""
        return WORK_TYPES[self.claim.kind]

    def take(self, ctx: Any) -> None:
        """Write the mark. :raises StatusChanged: a later operation has written its own."""
        if self.number is None or self.taken:
            return
        record = self.claim.find(ctx)
        if record is None or not self.claim.shown_by(ctx, record):
            return
        status, of = str(record.status), (self.work_type, self.claim.resource_id)
        careful = ctx.resumed and status not in self.claim.handed_over
        if not ctx.workers.mark(*of, status, self.number, unless_marked=careful):
            raise StatusChanged(str(self.claim), f"{status} for another operation", ())
        self.taken = True

    def refusal(self, ctx: Any, *, begun: bool) -> str | None:
        """Return the state of a resource that shows no claim any more; None if it does.

        :param begun: whether the first step has ended, and written the mark.
        """
        # Whatever the status is: a mark that stayed would refuse later operations.
        self.maybe_taken = self.number is not None
        record = self.claim.find(ctx)
        if record is None:
            return None if self.claim.makes_row and not begun else "gone"
        status = str(record[self.claim.column])
        if not self.claim.shown_by(ctx, record):
            return status
        if not begun and self.claim.before_begin is not None:
            return None if status in self.claim.before_begin else status
        if not begun or self.number is None:
            return None
        self.taken = ctx.workers.is_marked(self.work_type, self.claim.resource_id, self.number)
        return None if self.taken else f"{status} for another operation"

    def is_marked(self, ctx: Any) -> bool:
        """Return whether the mark is still there: the operation has not ended.

        An administrator who sets another status leaves the mark.
        """
        of = (self.work_type, self.claim.resource_id, self.number)
        return self.number is not None and bool(ctx.workers.is_marked(*of))

    def is_lost(self, ctx: Any) -> bool:
        """Return whether a flow that was resumed without a check has no claim to its resource.

        Asked before each revert; the answer of the first one counts.
        """
        if self.unchecked:
            self._lost = self.refusal(ctx, begun=True) is not None
            self.unchecked = False
        return self._lost

    def drop(self, ctx: Any) -> None:
        """Delete the mark if it is still there."""
        if self.taken or self.maybe_taken:
            ctx.workers.unmark(self.work_type, self.claim.resource_id, self.number)
            self.taken = self.maybe_taken = False


class ClaimedRows:
    """Rows of one kind; an operation writes the status of its resource only under its mark."""

    def __init__(self, rows: Any, held: HeldClaim) -> None:
        self._rows = rows
        self._held = held

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._rows, name)
        return functools.partial(self._write, name, method) if name in _UNDER_MARK else method

    def _write(self, name: str, method: Any, row_id: str, *args: Any, **kwargs: Any) -> Any:
        held = self._held
        if row_id != held.claim.resource_id or not held.taken:
            return method(row_id, *args, **kwargs)
        ends = name != "migrate" and kwargs.get(
            "done", name == "swap" or held.claim.kind != "volume"
        )
        if held.claim.until_end and name == "swap":
            return method(row_id, *args, **kwargs)
        if held.claim.until_end and ends:
            kwargs["done"] = ends = False
        answer = method(row_id, *args, mark=held.number, **kwargs)
        held.taken = not ends
        return answer


def held_by(claim: Claim | None, key: str, *, marks: bool) -> HeldClaim | None:
    """Return the claim of a run.

    :param key: identifies the operation; the same for each of its runs.
    :param marks: False for an operation that an earlier version has begun, without a mark.
    """
    if claim is None or (claim.kind == "service" and not marks):
        return None  # earlier versions failed over whatever the status was
    return HeldClaim(claim, mark_of(key) if marks and not claim.unmarked else None)


def mark_of(key: str) -> int:
    """Return the mark of an operation: 29 bits of its key above :data:`FIRST_MARK`."""
    digest = hashlib.sha256(key.encode()).digest()
    return FIRST_MARK | int.from_bytes(digest[:4], "big") >> 3


def claimed(ctx: ContextT, held: HeldClaim | None) -> ContextT:
    """Return a context in which statuses are written under a claim."""
    changes: dict[str, Any] = {"claim": held}
    if held is not None and held.number is not None:
        kind = held.claim.kind
        if kind in ("group", "consistencygroup"):
            changes["groups"] = {**ctx.groups, kind: ClaimedRows(ctx.groups[kind], held)}
        else:
            changes[f"{kind}s"] = ClaimedRows(getattr(ctx, f"{kind}s"), held)
    return dataclasses.replace(ctx, **changes)


def of_args(args: Mapping[str, Any], kind: str, **more: Any) -> Claim:
    """Return a claim on the resource that the arguments of a flow name."""
    return Claim(kind, str(args[f"{kind}_id"]), **more)
