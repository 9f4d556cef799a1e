# SPDX-License-Identifier: Apache-2.0
"""Choose failed operations by their age, method and error, and have each run once more."""

from __future__ import annotations

import argparse
import datetime
import re
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from oslo_utils import timeutils

from worker.cli.access import Access
from worker.cli.lookup.row_limit import number_of_rows

if TYPE_CHECKING:
    from worker.journal.entries.listed_entry import JournalEntry

KEYS = ("flow", "method", "resource", "ended_at", "failure", "outcome", "answer")

ACCEPTED, REFUSED, SKIPPED, WAITS = "accepted", "refused", "skipped", "waits"
PLANNED = "would resume"

LIMIT = 100
"""Operations of one request, unless another number is given."""

_SEARCHED = 100_000
"""Entries of the journal that are searched, the newest ones."""

_TIMEOUT = 10.0
"""Seconds to wait for the answers of the processes."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}
_DURATION = re.compile(r"(\d{1,9})([smhd]?)")


def duration(text: str) -> datetime.timedelta:
    """Return ``90s``, ``30m``, ``1h`` or ``2d``. :raises ArgumentTypeError: it is none."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 30m, 1h or 2d")
    return datetime.timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the conditions."""
    add = parser.add_argument
    add("--since", type=duration, metavar="TIME", help="only failures since 90s, 30m, 1h, 2d")
    add("--error", metavar="TEXT", help="only failures with this text in their error")
    add("--method", metavar="NAME", help="only of this method, as create_volume")
    add(
        "--limit",
        type=number_of_rows(0),
        default=LIMIT,
        metavar="N",
        help=f"the oldest N (default: {LIMIT})",
    )
    add("--dry-run", action="store_true", help="print the operations, resume none")


def resume(
    access: Access, options: argparse.Namespace, states: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Ask for all chosen operations, and return each with the answer of its process.

    :param states: of flows that have failed.
    """
    rows = [_row(entry, reason) for entry, reason in _chosen(access, options, states)]
    wanted = [row for row in rows if row["outcome"] == PLANNED][: options.limit]
    for row in rows:
        if row["outcome"] == PLANNED and row not in wanted:
            row |= {"outcome": SKIPPED, "answer": "beyond --limit"}
    if not options.dry_run:
        _ask(access, wanted)
    for row in rows:
        row.pop("slot")
    return rows


def _chosen(
    access: Access, options: argparse.Namespace, states: tuple[str, ...]
) -> Iterator[tuple[JournalEntry, str]]:
    """Yield the failures that match, the oldest first, each with why it cannot be resumed."""
    every = access.journal.entries(limit=_SEARCHED)
    newest: dict[str, str] = {}
    for entry in every:
        newest.setdefault(entry.resource, entry.flow)
    for entry in reversed(every):
        if entry.state not in states or not _matches(entry, options):
            continue
        if newest[entry.resource] != entry.flow:
            yield entry, "its resource has a newer operation"
        elif entry.meta.get("when_cut_short", "revert") == "revert":
            yield entry, "its caller is gone"
        else:
            yield entry, ""


def _matches(entry: JournalEntry, options: argparse.Namespace) -> bool:
    ended = entry.updated_at or entry.accepted_at
    if options.since is not None and ended < timeutils.utcnow() - options.since:
        return False
    if options.error and options.error.lower() not in (entry.failure or "").lower():
        return False
    return options.method is None or entry.method == options.method


def _row(entry: JournalEntry, reason: str) -> dict[str, Any]:
    return {
        "flow": entry.flow,
        "method": entry.method,
        "resource": entry.resource,
        "ended_at": str(entry.updated_at or entry.accepted_at),
        "failure": entry.failure or "",
        "outcome": SKIPPED if reason else PLANNED,
        "answer": reason,
        "slot": entry.slot,
    }


def _ask(access: Access, rows: Iterable[dict[str, Any]]) -> None:
    """Ask the processes of all operations, then wait for their answers together."""
    requests = access.journal.requests
    asked = {requests.ask(row["slot"], row["flow"], "resume"): row for row in rows}
    until = time.monotonic() + _TIMEOUT
    while asked:
        for number in list(asked):
            answer = requests.answer_of(number)
            if answer is not None:
                outcome = ACCEPTED if answer.done else REFUSED
                asked.pop(number).update(outcome=outcome, answer=answer.text)
        if not asked or time.monotonic() > until:
            break
        time.sleep(0.1)
    for row in asked.values():
        text = f"no process serves {row['slot']} now; it is done when one does"
        row.update(outcome=WAITS, answer=text)
