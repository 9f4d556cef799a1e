# SPDX-License-Identifier: Apache-2.0
"""holdfast host: freeze and thaw a backend, fail it over to a target of replication."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.statuses import ReplicationStatus
from worker.cli.upkeep.outcome import Outcomes, not_empty, require_any, with_dry_run

if TYPE_CHECKING:
    from drivers.interface.records import Record

_VOLUME = "cinder-volume"
_FAILING_OVER = ReplicationStatus.FAILING_OVER
_FAILED = (ReplicationStatus.ERROR, ReplicationStatus.FAILOVER_ERROR)
_WAIT = 600.0


class _OnBackend(Outcomes):
    """A request to the service of one backend, or of a cluster's backend.

    The exit status is 0; 1 where the request was refused or failed; 2 for wrong usage.
    """

    keys = (
        *("host", "cluster", "outcome", "reason"),
        *("frozen", "disabled", "replication_status", "active_backend_id"),
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the host."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        host = "HOST@BACKEND as holdfast service list shows it; or CLUSTER@BACKEND"
        parser.add_argument("host", metavar="HOST", type=not_empty, help=host)
        return with_dry_run(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Check, send, and write the columns that the API writes."""
        rows = self._rows(parsed_args.host)
        if reason := self._refusal(rows) or self.obstacle(rows[0]):
            self.refuse()
            return self._table(parsed_args, rows, "refused", reason)
        if parsed_args.dry_run:
            return self._table(parsed_args, rows, "planned", "")
        outcome, reason = self.change(parsed_args, rows)
        return self._table(parsed_args, self._rows(parsed_args.host), outcome, reason)

    def obstacle(self, row: Record) -> str:
        """Return why the state of a service forbids the request; empty where it does not."""
        raise NotImplementedError

    def change(self, options: argparse.Namespace, rows: Sequence[Record]) -> tuple[str, str]:
        """Carry the request out; return its outcome and the reason."""
        raise NotImplementedError

    def mark(self, rows: Sequence[Record], **columns: Any) -> None:
        """Write columns of the services, and of their cluster."""
        services = self.access.records.services
        for row in rows:
            services.update(row.id, **columns)
        if rows[0].cluster_name:
            services.update_cluster(rows[0].cluster_name, _VOLUME, **columns)

    def ask(self, rows: Sequence[Record], method: str, **args: Any) -> Any:
        """Send a request to the backend; return the answer of a call."""
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.cli.hosts import backend_requests

        return backend_requests.send(self.access, _address(rows), method, args)

    def _rows(self, host: str) -> list[Record]:
        services = self.access.records.services
        found = list(services.list(binary=_VOLUME, host=host))
        cluster = found[0].cluster_name if found else host
        if cluster:
            found = list(services.list(binary=_VOLUME, cluster_name=cluster))
        require_any(found, f"volume service {host}; see: holdfast service list")
        return found

    def _refusal(self, rows: Sequence[Record]) -> str:
        if any(self.access.is_up(row) for row in rows):
            return ""
        return f"{_address(rows)} is down, and would not carry it out"

    def _table(
        self, options: argparse.Namespace, rows: Sequence[Record], outcome: str, reason: str
    ) -> Any:
        return self.table(options, [_row(row, outcome, reason) for row in rows])


class Freeze(_OnBackend):
    """Freeze a backend: its driver is notified, and the API and schedulers refuse changes.

    The service is disabled, with the reason frozen. See holdfast host thaw.
    """

    def obstacle(self, row: Record) -> str:
        """Refuse a backend that is frozen."""
        return "it is frozen already" if row.frozen else ""

    def change(self, options: argparse.Namespace, rows: Sequence[Record]) -> tuple[str, str]:
        """Ask the service, which disables itself."""
        self.ask(rows, "freeze_host")
        self.mark(rows, frozen=True)
        return "frozen", ""


class Thaw(_OnBackend):
    """Thaw a backend that was frozen, unless its driver refuses."""

    def obstacle(self, row: Record) -> str:
        """Refuse a backend that is not frozen."""
        return "" if row.frozen else "it is not frozen"

    def change(self, options: argparse.Namespace, rows: Sequence[Record]) -> tuple[str, str]:
        """Ask the service, which enables itself where its driver agrees."""
        if self.ask(rows, "thaw_host") is not True:
            self.refuse()
            return "refused", "its driver does not thaw it: see the log of the service"
        self.mark(rows, frozen=False)
        return "thawed", ""


class Failover(_OnBackend):
    """Fail a backend over to a target of replication, or back with --to default.

    The driver activates the target. Volumes that are not replicated become error, and the service
    is disabled (failed-over) and uses the target from then on. The driver chooses the target where
    --to names none. --wait waits for the end; without it the outcome is sent.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the target."""
        parser = super().get_parser(prog_name)
        target = "backend_id of a replication_device of the backend, or default: the way back"
        parser.add_argument("--to", metavar="BACKEND_ID", type=not_empty, help=target)
        wait = f"wait for the end, {_WAIT:.0f} s by default"
        parser.add_argument(
            "--wait", nargs="?", type=float, const=_WAIT, metavar="SECONDS", help=wait
        )
        return parser

    def obstacle(self, row: Record) -> str:
        """Refuse a backend that fails over at present."""
        return "a failover runs" if row.replication_status == _FAILING_OVER else ""

    def change(self, options: argparse.Namespace, rows: Sequence[Record]) -> tuple[str, str]:
        """Write the status that the API writes, and send the cast."""
        before = rows[0].replication_status
        self.mark(rows, replication_status=_FAILING_OVER)
        try:
            self.ask(rows, "failover", secondary_backend_id=options.to)
        except BaseException:
            self.mark(rows, replication_status=before)
            raise
        if options.wait is None:
            return "sent", "see: holdfast service list"
        return self._ended(options, before)

    def _ended(self, options: argparse.Namespace, before: str | None) -> tuple[str, str]:
        until = time.monotonic() + options.wait
        while (now := self._rows(options.host)[0]).replication_status == _FAILING_OVER:
            if time.monotonic() > until:
                self.refuse()
                return "running", f"it has not ended within {options.wait:.0f} s"
            time.sleep(0.2)
        status = now.replication_status
        if status in _FAILED:
            self.refuse()
            return "failed", "inspect the backend: see the log of the service"
        if status == before and options.to not in (None, now.active_backend_id, "default"):
            self.refuse()
            return "refused", "nothing was changed: see the log of the service"
        return "done", ""


def _address(rows: Sequence[Record]) -> str:
    return str(rows[0].cluster_name or rows[0].host)


def _row(row: Record, outcome: str, reason: str) -> Mapping[str, Any]:
    return {
        "host": row.host,
        "cluster": row.cluster_name,
        "outcome": outcome,
        "reason": reason,
        "frozen": bool(row.frozen),
        "disabled": bool(row.disabled),
        "replication_status": row.replication_status,
        "active_backend_id": row.active_backend_id,
    }
