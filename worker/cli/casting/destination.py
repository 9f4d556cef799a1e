# SPDX-License-Identifier: Apache-2.0
"""Where a request goes, and whether a service consumes it there."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from drivers.interface.records import Record
from worker.cli.access import Access, CommandError
from worker.db.records.services.service import is_up
from worker.rpc import topics


class Destination:
    """The services that are known, and the one that a request is for.

    :param wanted: ``host@backend#pool`` as the person said, or None.
    """

    def __init__(self, access: Access, wanted: str | None) -> None:
        self._access = access
        self._wanted = wanted

    def of(self, resource: Record | None) -> str:
        """Return the address of a resource, or the default one."""
        if self._wanted or resource is None:
            return self.default
        return topics.address(resource if resource.kind == "volume" else resource.volume)

    @functools.cached_property
    def default(self) -> str:
        """The given host, or the pool of the only enabled service."""
        if self._wanted:
            return self._wanted
        hosts = [service.host for service in self._services if not service.disabled]
        if len(hosts) != 1:
            raise CommandError(f"say which backend with --host; known: {self._names}")
        return f"{hosts[0]}#{hosts[0].partition('@')[2]}"

    @property
    def service(self) -> Record:
        """The service that a request on a whole backend is for."""
        address = topics.extract_host(self.default)
        for row in self._services:
            if row.host == address:
                return row
        raise CommandError(f"there is no service {address}; known: {self._names}")

    def warning(self, host: str) -> str:
        """Return a warning where no service consumes a cast at present.

        :raises CommandError: no service ever did, so the bus has no queue and would drop it.
        """
        address = topics.extract_host(host)
        rows = [row for row in self._services if address in (row.host, row.cluster_name)]
        if not rows:
            raise CommandError(f"there is no service {address}; known: {self._names}")
        if any(is_up(row, self._access.conf.service_down_time) for row in rows):
            return ""
        return f"service {address} is down: the cast waits for it, if the bus has its queue"

    @functools.cached_property
    def _services(self) -> Sequence[Record]:
        return list(self._access.records.services.list(binary="cinder-volume"))

    @property
    def _names(self) -> str:
        return ", ".join(row.host for row in self._services) or "none has ever been started"
