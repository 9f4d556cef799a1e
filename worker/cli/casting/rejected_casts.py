# SPDX-License-Identifier: Apache-2.0
"""holdfast message: list, show, retry and drop messages that were rejected."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any, cast

from flows.secret_texts import masked_value
from worker.cli.access import Access, Command, CommandError
from worker.cli.lookup.candidates import SHOWN, Candidates
from worker.cli.lookup.row_limit import add_row_limit
from worker.cli.upkeep.outcome import Outcomes, with_dry_run

if TYPE_CHECKING:
    from worker.journal.entries.listed_entry import JournalEntry

_TIMEOUT = 10.0
"""Seconds to wait for the answers of the services."""

_ID = "the beginning of a message's id, as holdfast message list shows it"


class List(Outcomes):
    """List the messages that were rejected, the newest first, with the reason.

    The column Can retry says whether the contents were kept: not those of messages that could not
    be read, or were longer than 32 KiB.
    """

    keys = (
        *("message", "method", "received_at", "request_id", "slot", "can_retry"),
        "reason",
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the number."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add_row_limit(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the journal."""
        entries = self.access.journal.entries(rejected=True, limit=parsed_args.limit)
        return self.table(parsed_args, [_listed(entry) for entry in entries])


class Show(Command):
    """Show a rejected message with its arguments and its request; secrets are masked."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", metavar="ID", help=_ID)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Read the journal."""
        entry = _find(self.access, parsed_args.id)
        names = {"contents": "message", "request": "request", "body": "body"}
        kept = {key: entry.meta.get(name) for key, name in names.items()}
        found = {**_listed(entry), **masked_value(kept)}
        self.write(*json.dumps(found, indent=2, default=str).split("\n"))
        return 0


class _Change(Outcomes):
    """A change of some messages."""

    keys = ("message", "method", "outcome", "reason")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the ids."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("id", metavar="ID", nargs="+", help=_ID)
        return with_dry_run(parser)


class Retry(_Change):
    """Have rejected messages accepted after all, each once.

    The service that rejected a message checks it again, with the methods that it has now, and
    refuses it while another operation works on the resource. A message that is accepted becomes an
    operation with the same id, see holdfast flow show. --dry-run asks for the check only. The exit
    status is 1 where one was refused, or has no answer yet: then it waits for the service.
    A failed operation is run again by holdfast flow resume.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Ask, and wait for the answers."""
        action, done = ("check", "planned") if parsed_args.dry_run else ("retry", "accepted")
        entries = [_find(self.access, one) for one in parsed_args.id]
        requests = self.access.journal.requests
        asked = [
            (entry, requests.ask(_slot(self.access, entry), entry.flow, action))
            for entry in entries
        ]
        until, rows = time.monotonic() + _TIMEOUT, []
        for entry, number in asked:
            while (answer := requests.answer_of(number)) is None and time.monotonic() < until:
                time.sleep(0.1)
            outcome = "waiting" if answer is None else done if answer.done else "refused"
            reason = "no process of the service answers" if answer is None else answer.text
            if outcome != done:
                self.refuse()
            rows.append({**_listed(entry), "outcome": outcome, "reason": reason})
        return self.table(parsed_args, rows)


class Drop(_Change):
    """Forget rejected messages; the exit status is 1 where one was accepted meanwhile."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Remove them from the journal."""
        entries = [_find(self.access, one) for one in parsed_args.id]
        rows = []
        for entry in entries:
            outcome, reason = "planned", ""
            if not parsed_args.dry_run:
                dropped = self.access.journal.rejected.drop(entry.flow)
                outcome = "dropped" if dropped else "refused"
                reason = "" if dropped else "it was dropped, or accepted, meanwhile"
            if outcome == "refused":
                self.refuse()
            rows.append({**_listed(entry), "outcome": outcome, "reason": reason})
        return self.table(parsed_args, rows)


def _listed(entry: JournalEntry) -> dict[str, Any]:
    return {
        "message": entry.flow,
        "method": entry.method,
        "received_at": entry.accepted_at.isoformat(sep=" ", timespec="seconds"),
        "request_id": entry.request_id,
        "slot": entry.meta.get("slot"),
        "can_retry": isinstance(entry.meta.get("message"), dict),
        "reason": entry.failure,
    }


def _find(access: Access, beginning: str) -> JournalEntry:
    """Return the message of an id. :raises CommandError: none, or several begin like this."""
    found = Candidates("message", beginning)
    for entry in access.journal.entries(rejected=True, beginning=beginning, limit=SHOWN + 1):
        found.add(entry.flow, entry)
    if not found.any and access.journal.entries(beginning=beginning, limit=1):
        text = f"{beginning} is an operation, see: holdfast flow show {beginning}"
        raise CommandError(f"message {text}")
    return cast("JournalEntry", found.only("message list"))


def _slot(access: Access, entry: JournalEntry) -> str:
    """Return the slot of a process that can accept a message.

    That is the process which rejected it; where this has ended, and the journal is on a server,
    another one of its pool.
    """
    slot, table = entry.meta.get("slot"), access.journal.slots.table
    if not isinstance(slot, str) or not slot:
        raise CommandError(f"message {entry.flow} was rejected by an older version: send it again")
    recorded = table.find(slot) if table is not None else None
    if table is None or recorded is None:
        return slot
    alive = [one for one in table.of_pool(recorded.pool) if not one.is_free and one.expires_in > 0]
    names = [one.slot for one in alive]
    return slot if slot in names or not names else names[0]
