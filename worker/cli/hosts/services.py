# SPDX-License-Identifier: Apache-2.0
"""holdfast service: enable, disable and remove services; holdfast cluster: list and remove."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from worker.cli.access import CommandError, plain
from worker.cli.upkeep.outcome import Outcomes, not_empty, require_any

if TYPE_CHECKING:
    from drivers.interface.records import Record
    from worker.db.records.services.service import Services

_VOLUME = "cinder-volume"
_SERVICE = ("binary", "host", "cluster", "outcome", "reason")


def of_one_binary(rows: Services, options: argparse.Namespace) -> list[Record]:
    """Return the rows of the host and binary of a command.

    :raises CommandError: there is none, or the host has several binaries and none was chosen.
    """
    named = {"binary": options.binary} if options.binary else {}
    found = list(rows.list(host=options.host, **named))
    require_any(found, f"service {options.host}; see: holdfast service list")
    if len(binaries := sorted({row.binary for row in found})) > 1:
        raise CommandError(f"{options.host} has {' and '.join(binaries)}: choose one with --binary")
    return found


class _OnService(Outcomes):
    """A change of the row of one service, or of a cluster with its services."""

    keys = _SERVICE

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the host, the binary and the cluster."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group(required=True)
        host = "as holdfast service list shows it"
        which.add_argument("host", metavar="HOST", nargs="?", type=not_empty, help=host)
        cluster = "a cluster with all its services, as CLUSTER@BACKEND"
        which.add_argument("--cluster", metavar="CLUSTER", type=not_empty, help=cluster)
        binary = "as cinder-backup, where services of several kinds have this host"
        parser.add_argument("--binary", metavar="NAME", type=not_empty, help=binary)
        return parser

    def services(self, options: argparse.Namespace) -> list[Record]:
        """Return the rows. :raises CommandError: none, or those of several binaries."""
        rows = self.access.records.services
        if options.cluster:
            found = list(rows.list(binary=options.binary or _VOLUME, cluster_name=options.cluster))
            require_any(found, f"service of cluster {options.cluster}")
            return found
        return of_one_binary(rows, options)

    def _change(self, options: argparse.Namespace, found: list[Record], **columns: Any) -> None:
        rows = self.access.records.services
        for row in found:
            rows.update(row.id, **columns)
        if options.cluster:
            binary = options.binary or _VOLUME
            rows.update_cluster(options.cluster, binary, **columns)


class Enable(_OnService):
    """Let schedulers choose a service for new resources again.

    A service that was frozen is thawed with holdfast host thaw instead, which asks its driver.
    A service of a cluster is chosen by the row of its cluster: enable that with --cluster.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Write the rows."""
        found = self.services(parsed_args)
        if frozen := [row.host for row in found if row.frozen]:
            advice = f"thaw it: holdfast host thaw {frozen[0]}"
            raise CommandError(
                f"{frozen[0]} is frozen, and its driver was notified of it; {advice}"
            )
        self._change(parsed_args, found, disabled=False, disabled_reason=None)
        return self.table(parsed_args, [_row(one, "enabled", "") for one in found])


class Disable(_OnService):
    """Keep schedulers from choosing a service for new resources, with the reason.

    Requests on its resources are carried out. A service of a cluster is chosen by the row of its
    cluster: disable that with --cluster.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the reason."""
        parser = super().get_parser(prog_name)
        reason = "for other operators; it is shown by lists of services"
        parser.add_argument("--reason", required=True, type=not_empty, help=reason)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Write the rows."""
        found, reason = self.services(parsed_args), parsed_args.reason
        self._change(parsed_args, found, disabled=True, disabled_reason=reason)
        return self.table(parsed_args, [_row(one, "disabled", reason) for one in found])


class Remove(_OnService):
    """Remove the row of a service that has ended for good.

    The resources keep their host: give them another one with holdfast volume update-host. A row of
    a service that is up is refused, as its next heartbeat would insert another one.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Mark the rows as deleted."""
        found = self.services(parsed_args)
        if up := [row.host for row in found if self.access.is_up(row)]:
            limit = self.access.conf.service_down_time
            text = f"is up; stop it, and wait {limit} s (service_down_time)"
            raise CommandError(f"{up[0]} {text}")
        removed = [self.access.records.services.remove(row.id) for row in found]
        if not any(removed):
            raise CommandError("it was removed meanwhile")
        return self.table(parsed_args, [_row(one, "removed", "") for one in found])


class ClusterList(Outcomes):
    """List clusters of volume services, with their hosts and the hosts that are down."""

    keys = (
        *("name", "binary", "status", "state", "hosts", "down_hosts", "last_heartbeat"),
        *("frozen", "replication"),
    )

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the rows."""
        records = self.access.records.services
        services = records.list()
        rows = [self._row(one, services) for one in records.clusters()]
        return self.table(parsed_args, rows)

    def _row(self, cluster: Record, services: Any) -> dict[str, Any]:
        members = [
            row
            for row in services
            if (row.cluster_name, row.binary) == (cluster.name, cluster.binary)
        ]
        up = [row for row in members if self.access.is_up(row)]
        beats = [row.updated_at for row in members if row.updated_at]
        return {
            "name": cluster.name,
            "binary": cluster.binary,
            "status": "disabled" if cluster.disabled else "enabled",
            "state": "up" if up else "down",
            "hosts": len(members),
            "down_hosts": len(members) - len(up),
            "last_heartbeat": plain(max(beats, default=None)),
            "frozen": bool(cluster.frozen),
            "replication": cluster.replication_status or "",
        }


class ClusterRemove(Outcomes):
    """Remove the row of a cluster to which no service belongs any more.

    --recursive removes the rows of its services as well, if none of them is up. Resources keep the
    name of the cluster: holdfast cluster leave takes a host out of it with its resources.
    """

    keys = ("binary", "cluster", "outcome", "services_removed")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the name."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER", type=not_empty, help="as east@rbd")
        parser.add_argument("--recursive", action="store_true", help="its services as well")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Mark the rows as deleted."""
        name, records = parsed_args.cluster, self.access.records
        if records.services.cluster(name, _VOLUME) is None:
            raise CommandError(f"there is no cluster {name}; see: holdfast cluster list")
        members = records.services.list(binary=_VOLUME, cluster_name=name)
        if members and not parsed_args.recursive:
            hosts = ", ".join(row.host for row in members)
            raise CommandError(f"services belong to cluster {name}: {hosts}; see --recursive")
        if up := [row.host for row in members if self.access.is_up(row)]:
            raise CommandError(f"{up[0]} of cluster {name} is up: stop it first")
        removed = sum(records.services.remove(row.id) for row in members)
        records.membership.remove(name)
        row = {"binary": _VOLUME, "cluster": name, "outcome": "removed"}
        return self.table(parsed_args, [{**row, "services_removed": removed}])


def _row(service: Record, outcome: str, reason: str) -> dict[str, Any]:
    return {
        "binary": service.binary,
        "host": service.host,
        "cluster": service.cluster_name or "",
        "outcome": outcome,
        "reason": reason,
    }
