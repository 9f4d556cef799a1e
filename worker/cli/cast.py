# SPDX-License-Identifier: Apache-2.0
"""holdfast cast: act as a scheduler, and look at what was accepted."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from drivers.interface.records import Record
from flows.errors import NotFound
from worker.cli import requests
from worker.cli.access import Command, CommandError, Lister

_POLL = 0.1
"""Seconds between two looks at a status."""


class Cast(Command):
    """Prepare the row as the API does, send a cast or call, and wait for the end if asked.

    Examples:
      holdfast cast create_volume --size 10 --name data --wait
      holdfast cast create_snapshot --volume ID --wait
      holdfast cast extend_volume --volume ID --size 20 --wait
      holdfast cast initialize_connection --volume ID --arg connector='{"host": "me"}'
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the method and what it works on."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("method", metavar="METHOD", help="an RPC method of the volume service")
        parser.add_argument("--volume", metavar="ID", help="the volume")
        parser.add_argument(
            "--snapshot", metavar="ID", help="the snapshot, or the new one's source"
        )
        parser.add_argument("--source", metavar="ID", help="the volume to clone")
        parser.add_argument("--size", type=int, metavar="GIB", help="size, or new size")
        parser.add_argument("--name", help="display name of what is created")
        parser.add_argument("--host", metavar="HOST@BACKEND#POOL", help="where; default: the one")
        parser.add_argument("--project", default="admin", help="project of what is created")
        parser.add_argument("--cascade", action="store_true", help="delete snapshots as well")
        parser.add_argument("--unmanage", action="store_true", help="forget it and keep its data")
        parser.add_argument(
            "--arg",
            action="append",
            default=[],
            metavar="NAME=JSON",
            help="a further argument of the method; what is no JSON is text",
        )
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=300.0,
            metavar="SECONDS",
            help="wait for the end (300 s unless told) and show the tasks",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Prepare, send, wait."""
        ask = requests.Ask(self.access, parsed_args, _extra(parsed_args.arg))
        sent = ask.send()
        if sent.answer is not None:
            self.app.stdout.write(json.dumps(sent.answer, indent=2) + "\n")
        if sent.resource is None or not sent.is_cast:
            return 0
        self.app.stdout.write(f"{sent.resource.kind} {sent.resource.id}\n")
        if parsed_args.wait is None:
            return 0
        return self._wait(sent, parsed_args.wait)

    def _wait(self, sent: requests.Sent, timeout: float) -> int:
        resource = sent.resource
        assert resource is not None
        deadline = time.monotonic() + timeout
        shown: set[str] = set()
        while True:
            status = self._status(resource)
            self._tell_tasks(resource.id, shown)
            if status not in sent.during:
                break
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{resource.kind} {resource.id} is still {status}: is the service running?"
                )
            time.sleep(_POLL)
        self.app.stdout.write(f"{status}\n")
        if not status.startswith("error"):
            return 0
        entry = self.access.flow(resource.id)
        raise CommandError(f"{resource.kind} {resource.id} is {status}: {entry.failure or '?'}")

    def _status(self, resource: Record) -> str:
        records = self.access.records
        rows = records.volumes if resource.kind == "volume" else records.snapshots
        try:
            return str(rows.get(resource.id).status)
        except NotFound:
            return "deleted"

    def _tell_tasks(self, resource_id: str, shown: set[str]) -> None:
        for entry in self.access.journal.entries(limit=50):
            if not entry.resource.endswith(resource_id) or entry.state in ("SUCCESS", "REVERTED"):
                continue
            for atom in self.access.journal.load(entry.flow):
                line = f"  {atom.name} {atom.state}"
                if atom.state != "PENDING" and line not in shown:
                    shown.add(line)
                    self.app.stdout.write(line + "\n")


class List(Lister):
    """List what the journal accepted, or with --rejected what it put aside."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which ones."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--rejected", action="store_true", help="messages that were none")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the journal."""
        entries = self.access.journal.entries(rejected=parsed_args.rejected)
        if parsed_args.rejected:
            rows = [(e.flow, e.method, str(e.accepted_at), e.failure) for e in entries]
            return ("Message", "Method", "Received", "Reason"), rows
        heads = ("Flow", "Method", "Resource", "Accepted", "State")
        return heads, [(e.flow, e.method, e.resource, str(e.accepted_at), e.state) for e in entries]


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
