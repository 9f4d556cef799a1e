# SPDX-License-Identifier: Apache-2.0
"""holdfast cast: act as a scheduler, and list accepted casts."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from worker.cli.access import Command, CommandError, Lister, plain
from worker.cli.lookup.row_limit import add_row_limit

_WAIT = 300.0


class Cast(Command):
    """Send a cast or call as a scheduler does, and wait for its end if asked.

    The command inserts the row or sets its status, as the API does; a request that cannot be sent
    changes nothing. A cast prints the id of its volume or snapshot, a call prints
    its answer as JSON. Exit status 1: it was not sent, or did not reach the expected end.
    Ids may be abbreviated as long as they are unique.

    Examples:
      holdfast cast create_volume --size 10 --name data --wait
      holdfast cast create_volume --snapshot ID --wait
      holdfast cast create_volume --image ID --size 10 --wait
      holdfast cast copy_volume_to_image --volume ID --image ID --wait
      holdfast cast manage_existing --ref source-name=lun-1 --name data --wait
      holdfast cast create_snapshot --volume ID --wait
      holdfast cast extend_volume --volume ID --size 20 --wait 60
      holdfast cast revert_to_snapshot --snapshot ID --wait
      holdfast cast migrate_volume --volume ID --arg host=h2@lvm#pool --wait
      holdfast cast delete_volume --volume ID --cascade --wait
      holdfast cast initialize_connection --volume ID --arg connector='{"host": "me"}'
      holdfast cast get_capabilities --arg discover=true
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the method and its resource."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        add = parser.add_argument
        add("method", metavar="METHOD", help="an RPC method of the volume service")
        add("--volume", metavar="ID", help="the volume of the operation")
        add("--snapshot", metavar="ID", help="the snapshot, or the source of a new volume")
        add("--source", metavar="ID", help="the volume that a new one is a clone of")
        add("--image", metavar="ID", help="the image of a new volume, or the image of an upload")
        ref = "key=value of a reference to an object to manage; may be repeated"
        add("--ref", action="append", default=[], metavar="KEY=VALUE", help=ref)
        add("--size", type=int, metavar="GIB", help="size of a new volume, or new size")
        add("--name", help="display name of the new resource")
        host = "host of a new volume (default: that of the only enabled service)"
        add("--host", metavar="HOST@BACKEND#POOL", help=host)
        add("--project", default="admin", help="project of the new resource (default: admin)")
        add("--cascade", action="store_true", help="delete the volume's snapshots as well")
        add("--unmanage", action="store_true", help="remove the row and keep the data")
        pair = "a further argument of the method; a value that is no JSON is text"
        add("--arg", action="append", default=[], metavar="NAME=JSON", help=pair)
        wait = f"wait for the end, {_WAIT:.0f} s by default, and show the tasks"
        add("--wait", nargs="?", type=float, const=_WAIT, metavar="SECONDS", help=wait)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Prepare, send, wait."""
        extra, access = _extra(parsed_args.arg), self.access
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.cli.casting.requests import CastRequest
        from worker.cli.casting.waiting import CastWait

        sent = CastRequest(access, parsed_args, extra).send()
        if not sent.is_cast:
            self.write(*json.dumps(sent.answer, indent=2, default=_plain_object).split("\n"))
            return 0
        if sent.resource is not None:
            self.write(f"{sent.resource.kind} {sent.resource.id}")
        if sent.warning:
            self.warn(sent.warning)
        if parsed_args.wait is not None:
            self.write(CastWait(access, sent, self.write).until_end(parsed_args.wait))
        return 0


class List(Lister):
    """List accepted casts, or with --rejected the messages that were put aside."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which ones."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        rejected = "messages that were no operation, with the reason"
        parser.add_argument("--rejected", action="store_true", help=rejected)
        add_row_limit(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the journal."""
        rejected, limit = parsed_args.rejected, parsed_args.limit
        entries = self.access.journal.entries(rejected=rejected, limit=limit)
        last = "Reason" if rejected else "State"
        heads = (
            "Message" if rejected else "Flow",
            "Method",
            "Resource",
            "Received",
            "Request",
            last,
        )
        return heads, [
            (
                entry.flow,
                entry.method,
                entry.resource,
                plain(entry.accepted_at),
                entry.request_id or "",
                entry.failure if rejected else entry.state,
            )
            for entry in entries
        ]


def _plain_object(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _extra(pairs: list[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise CommandError(f"--arg wants NAME=JSON, not {pair!r}")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found
