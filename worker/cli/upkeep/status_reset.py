# SPDX-License-Identifier: Apache-2.0
"""holdfast volume, snapshot, backup, group reset-status: write a status that no operation owns."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from flows.statuses import OF_KIND, TRANSIENT, AttachStatus, VolumeStatus
from worker.cli.access import CommandError, NoJournal
from worker.cli.flow import UNDER_WAY
from worker.cli.upkeep.outcome import Outcomes
from worker.journal.entries.listed_entry import concerns
from worker.journal.errors import JournalError

if TYPE_CHECKING:
    from drivers.interface.records import Record

_SEARCHED = 100_000
"""Unfinished operations that are searched."""

_USED = (VolumeStatus.IN_USE, VolumeStatus.DETACHING, VolumeStatus.ATTACHING)


class _Reset(Outcomes):
    """Write the status of a resource whose operation is gone.

    It is refused while an operation works on the resource (cancel or revert the operation instead),
    and where the operations are in the journal of another host. --force skips these checks. The
    status is written only if it is still the one that was read. Quota, attachments and the backend
    stay.
    """

    keys = ("kind", "id", "from_status", "to_status", "outcome")
    kind = ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id and the status."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add = parser.add_argument
        add("id", metavar="ID", help="id of the resource; may be abbreviated")
        choices = _at_rest(self.kind)
        to = f"one of {', '.join(choices)}"
        add("--to", metavar="STATUS", required=True, choices=choices, help=to)
        add("--force", action="store_true", help="also while an operation may work on it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Check, and compare and set."""
        access, kind, to = self.access, self.kind, parsed_args.to
        row: Record = getattr(access, kind)(parsed_args.id)
        if not parsed_args.force:
            self._require_no_operation(row)
            _require_as_attached(row, to)
        done = {"done": True} if kind in ("volume", "snapshot") else {}
        getattr(access.records, f"{kind}s").transition(row.id, to, when=(row.status,), **done)
        found = {"kind": kind, "id": row.id, "from_status": row.status, "to_status": to}
        return self.table(parsed_args, [{**found, "outcome": "written"}])

    def _require_no_operation(self, row: Record) -> None:
        """:raises CommandError: an operation works on it, or may do so."""
        label, access = f"{row.kind} {row.id}", self.access
        try:
            running = access.journal.entries(among=UNDER_WAY, limit=_SEARCHED)
        except (NoJournal, JournalError) as error:
            text = f"it is unknown whether an operation works on {label}: {error}"
            raise CommandError(f"{text}; add --force if none does") from error
        for entry in running:
            if concerns(entry, row.kind, row.id):
                advice = f"see: holdfast explain {row.id}; or: holdfast flow cancel {entry.flow}"
                raise CommandError(f"{entry.method} ({entry.state}) works on {label}; {advice}")
        node = _host(row).partition("@")[0]
        if access.journal_file is not None and node and node != access.conf.host:
            text = f"the operations of {label} are in the journal of {node}"
            raise CommandError(f"{text}, not of {access.conf.host}: run this there, or add --force")


class Volume(_Reset):
    # Its help is that of _Reset.
    kind = "volume"


class Snapshot(_Reset):
    # Its help is that of _Reset.
    kind = "snapshot"


class Backup(_Reset):
    # Its help is that of _Reset.
    kind = "backup"


class Group(_Reset):
    # Its help is that of _Reset.
    kind = "group"


def _at_rest(kind: str) -> list[str]:
    """Return the statuses of a kind that no operation has to end."""
    ends = {*TRANSIENT[kind], VolumeStatus.DELETED, VolumeStatus.ERROR_BACKING_UP}
    return sorted(str(one) for one in OF_KIND[kind] if one not in ends)


def _host(row: Record) -> str:
    """Return the host of a resource; a snapshot has that of its volume."""
    owner = row.volume if row.kind == "snapshot" else row
    return str(owner.host or "") if owner is not None else ""


def _require_as_attached(row: Record, to: str) -> None:
    """:raises CommandError: the status contradicts the attachments of a volume."""
    if row.kind != "volume":
        return
    rows = row.volume_attachment
    attached = any(one.attach_status == AttachStatus.ATTACHED for one in rows)
    if attached and to == VolumeStatus.AVAILABLE:
        raise CommandError(f"volume {row.id} is attached: detach it, or use {VolumeStatus.IN_USE}")
    if not attached and to in _USED:
        raise CommandError(f"volume {row.id} has no attachment, so it is not {to}; see --force")
