# SPDX-License-Identifier: Apache-2.0
"""holdfast slot: list the owners of operations, have a slot adopted, release it."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from oslo_utils import timeutils

from worker.cli.access import Access, Command, CommandError, Lister

if TYPE_CHECKING:
    from worker.journal.slots.slot_rows import Slot, Slots

_ADOPTED_WITHIN = 30.0
"""Seconds that ``--wait`` waits for a process that adopts a slot."""

_COLUMNS = (
    "Slot",
    "Pool",
    "State",
    "Node",
    "Process",
    "Epoch",
    "Expires in (s)",
    "Operations",
    "Oldest (s)",
    "Adopted by",
)
KEYS = (
    "slot",
    "pool",
    "state",
    "node",
    "pid",
    "epoch",
    "expires_in_s",
    "operations",
    "oldest_s",
    "adopted_by",
)


class List(Lister):
    """List the slots: who owns the operations, and for how long without a renewal.

    A slot that is held is alone in its pool; one that is armed is adopted by others when its
    lease ends; one that is expired waits for that, or for its own host if it was not armed; one
    that is orphaned waits for a process of its pool; one that is free has no operations.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the slots."""
        heads = KEYS if parsed_args.formatter in ("json", "yaml") else _COLUMNS
        return heads, rows_of(self.access)


class _Freeing(Command):
    """A command that frees a slot whose owner has ended."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the slot."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("slot", metavar="SLOT", help="as holdfast slot list shows it")
        sure = "its process has ended for certain, although no timer has proven that"
        parser.add_argument("--force", action="store_true", help=sure)
        return parser

    def _find(self, name: str, force: bool) -> Slot:
        """Return a slot that may be freed. :raises CommandError: its owner may be alive."""
        found = table_of(self.access).find(name)
        if found is None:
            raise CommandError(f"there is no slot {name}; see: holdfast slot list")
        margin = self.access.conf.journal.slot_takeover_margin
        if found.is_free or found.is_expired(margin) and (found.armed or force):
            return found
        owner = f"process {found.pid} of {found.node}"
        if not found.is_expired(margin):
            text = f"{owner} renewed its lease of {name} {found.renewed_before:.0f} s ago"
            raise CommandError(f"{text}: stop it, or wait until the lease has ended")
        text = f"{owner} had no timer that would have killed it, and may still work on the backend"
        raise CommandError(f"{text}: make sure that it has ended, then add --force")

    def _free(self, found: Slot, *, pool: str | None, orphaned: bool) -> None:
        margin = self.access.conf.journal.slot_takeover_margin
        freed = table_of(self.access).give_up_for(
            found, expired=margin, pool=pool, orphaned=orphaned
        )
        if not freed:
            raise CommandError(f"slot {found.slot} has changed meanwhile; see: holdfast slot list")


class Adopt(_Freeing):
    """Have the operations of a slot adopted by a living process of its pool, or of another.

    This is needed only for a slot that is expired and was never armed, as that of a host without
    others beside it, and for operations that another pool is to carry out.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the pool and the wait."""
        parser = super().get_parser(prog_name)
        pool = "let a process of this pool adopt them: it has to serve the same backend"
        parser.add_argument("--pool", metavar="POOL", help=pool)
        parser.add_argument("--wait", action="store_true", help="until a process has adopted them")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Free the slot for others."""
        found = self._find(parsed_args.slot, parsed_args.force)
        count, _oldest = self.access.journal.slots.unfinished().get(found.slot, (0, None))
        if not count:
            raise CommandError(f"slot {found.slot} has no unfinished operations")
        self._free(found, pool=parsed_args.pool, orphaned=True)
        pool = parsed_args.pool or found.pool
        waits = f"a process of pool {pool}{note_of(table_of(self.access), pool)}"
        self.write(f"the {count} operations of {found.slot} wait for {waits}")
        if parsed_args.wait:
            self.write(wait_adopted(table_of(self.access), found.slot))


class Release(_Freeing):
    """Free a slot whose process has ended, so that its own host can start at once.

    Its operations wait for that host. One that is free already is left as it is.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Free the slot."""
        found = self._find(parsed_args.slot, parsed_args.force)
        count, _oldest = self.access.journal.slots.unfinished().get(found.slot, (0, None))
        waits = f"its own host; see: holdfast slot adopt {found.slot}"
        if found.is_free and found.orphaned:
            waits = f"a process of pool {found.pool}{note_of(table_of(self.access), found.pool)}"
        if not found.is_free:
            self._free(found, pool=None, orphaned=False)
        text = f"; its {count} operations wait for {waits}" if count else ""
        self.write(f"slot {found.slot} is free{text}")


def table_of(access: Access) -> Slots:
    """Return the slots. :raises CommandError: the journal is a file, which one host has alone."""
    if access.journal_file is not None:
        text = f"the journal {access.journal_file} is a file of this host"
        raise CommandError(f"{text}: slots with leases are in a journal on a database server")
    found = access.journal.slots.table
    assert found is not None
    return found


def rows_of(access: Access) -> list[tuple[Any, ...]]:
    """Return the slots, each with values for :data:`KEYS`. :raises CommandError: as above."""
    left = access.journal.slots.unfinished()
    return [_row(slot, left) for slot in table_of(access).every()]


def note_of(slots: Slots, pool: str) -> str:
    """Return the addition to the name of a pool that has no living process."""
    alive = any(not one.is_free and one.expires_in > 0 for one in slots.of_pool(pool))
    return "" if alive else ", which has no living process now"


def wait_adopted(slots: Slots, name: str) -> str:
    """Wait until a process has adopted a slot, and return a line about it."""
    until = time.monotonic() + _ADOPTED_WITHIN
    while (found := slots.find(name)) is not None and found.orphaned:
        if time.monotonic() > until:
            text = f"no process of pool {found.pool} has adopted {name}"
            raise CommandError(f"{text} in {_ADOPTED_WITHIN:.0f} s; see: holdfast slot list")
        time.sleep(0.2)
    by = found.adopted_by if found is not None and found.is_free else name
    return f"{by} has the operations of {name}"


def _state(slot: Slot) -> str:
    if slot.is_free:
        return "orphaned" if slot.orphaned else "free"
    if slot.expires_in < 0:
        return "expired" if slot.armed else "expired, not armed"
    return "armed" if slot.armed else "held"


def _row(slot: Slot, left: Any) -> tuple[Any, ...]:
    count, oldest = left.get(slot.slot, (0, None))
    age = int((timeutils.utcnow() - oldest).total_seconds()) if oldest else ""
    return (
        slot.slot,
        slot.pool,
        _state(slot),
        "" if slot.is_free else slot.node or "",
        "" if slot.is_free else slot.pid,
        slot.epoch,
        "" if slot.is_free else round(slot.expires_in, 1),
        count,
        age,
        slot.adopted_by or "",
    )
