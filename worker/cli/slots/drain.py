# SPDX-License-Identifier: Apache-2.0
"""holdfast host drain: have the processes of a host leave their work to other hosts."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from worker.cli.access import Command, CommandError
from worker.cli.slots.slot import table_of, wait_adopted

if TYPE_CHECKING:
    from worker.journal.slots.slot_rows import Slot

_TIMEOUT = 10.0
"""Seconds to wait for the answer of a process."""

_PAUSE = 0.2


class Drain(Command):
    """Have all processes of a host stop consuming, suspend their operations and give them up.

    Processes of other hosts adopt the operations within seconds. The processes stay, and idle,
    until they are restarted. A driver call that runs is waited for.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the host."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST", help="a host, or one backend: host@backend")
        wait = "until other hosts have all operations, as long as driver calls take"
        parser.add_argument("--wait", action="store_true", help=wait)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask each process."""
        host = parsed_args.host
        found = [one for one in table_of(self.access).every() if _is_of(one, host)]
        alive = [one for one in found if not one.is_free and one.expires_in > 0]
        if not alive:
            raise CommandError(f"no process of {host} is alive; see: holdfast slot list")
        requests = self.access.journal.requests
        asked = {one.slot: requests.ask(one.slot, "", "drain") for one in alive}
        until = time.monotonic() + _TIMEOUT
        for slot, number in asked.items():
            while (answer := requests.answer_of(number)) is None:
                if time.monotonic() > until:
                    raise CommandError(f"the process of {slot} does not answer")
                time.sleep(_PAUSE)
            if not answer.done:
                raise CommandError(answer.text)
            self.write(answer.text)
        if parsed_args.wait:
            for one in alive:
                self.write(self._wait_for(one))

    def _wait_for(self, asked: Slot) -> str:
        """Wait until a slot was given up and adopted; return a line about it."""
        slots = table_of(self.access)
        margin = self.access.conf.journal.slot_takeover_margin
        while (found := slots.find(asked.slot)) is not None and found.owner == asked.owner:
            if found.is_expired(margin) and not found.armed:  # others do not adopt it
                text = f"the process of {asked.slot} has ended without giving the slot up"
                raise CommandError(f"{text}; see: holdfast slot adopt {asked.slot}")
            time.sleep(_PAUSE)
        if found is None or not found.orphaned and found.adopted_by is None:
            return f"{asked.slot} has no operations left"
        return wait_adopted(slots, asked.slot)


def _is_of(slot: Slot, host: str) -> bool:
    return slot.host == host or slot.host.startswith(f"{host}@")
