# SPDX-License-Identifier: Apache-2.0
"""holdfast volume, snapshot, service: what the database says of them."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Sequence
from typing import Any

from drivers.interface.records import Record
from worker.cli.access import Lister, ShowOne

_VOLUME = ("id", "display_name", "size", "status", "attach_status", "host")
_SNAPSHOT = ("id", "display_name", "volume_id", "volume_size", "status", "progress")
_SECRET = frozenset({"provider_auth", "encryption_key_id"})


class VolumeList(Lister):
    """List volumes."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the live rows."""
        heads = ("ID", "Name", "Size (GiB)", "Status", "Attached", "Host")
        return heads, _rows(self.access.records.volumes.list(), _VOLUME)


class VolumeShow(ShowOne):
    """Show a volume."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        return _with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the row and its metadata."""
        volume = self.access.records.volumes.get(parsed_args.id)
        kind = volume.volume_type
        more = {"metadata": volume.metadata, "volume_type": kind and kind.name}
        return _shown(volume, more)


class SnapshotList(Lister):
    """List snapshots."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the live rows."""
        heads = ("ID", "Name", "Volume", "Size (GiB)", "Status", "Progress")
        return heads, _rows(self.access.records.snapshots.list(), _SNAPSHOT)


class SnapshotShow(ShowOne):
    """Show a snapshot."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        return _with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the row and its metadata."""
        snapshot = self.access.records.snapshots.get(parsed_args.id)
        return _shown(snapshot, {"metadata": snapshot.metadata})


class ServiceList(Lister):
    """List services as schedulers see them."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the rows and compare their last heartbeats with service_down_time."""
        heads = ("Binary", "Host", "Zone", "Status", "State", "Last heartbeat", "RPC")
        down = self.access.conf.service_down_time
        rows = [
            (
                row.binary,
                row.host,
                row.availability_zone,
                "disabled" if row.disabled else "enabled",
                _state(row.updated_at, down),
                str(row.updated_at or ""),
                row.rpc_current_version,
            )
            for row in self.access.records.services.list()
        ]
        return heads, rows


def _state(beat: datetime.datetime | None, down: int) -> str:
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    alive = beat is not None and (now - beat).total_seconds() <= down
    return "up" if alive else "down"


def _with_id(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("id", metavar="ID", help="its id")
    return parser


def _rows(records: Sequence[Record], names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return [tuple(record[name] for name in names) for record in records]


def _shown(record: Record, more: dict[str, Any]) -> tuple[list[str], list[Any]]:
    fields = {**record.to_dict(), **more}
    shown = {k: v for k, v in sorted(fields.items()) if k not in _SECRET and v is not None}
    # A time or a dict is shown as text, in every output format.
    plain = (str, int, float, bool)
    return list(shown), [v if isinstance(v, plain) else str(v) for v in shown.values()]
