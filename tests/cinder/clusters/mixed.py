# SPDX-License-Identifier: Apache-2.0
"""A host of Holdfast and one of cinder-volume, in one cluster with one directory of volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.cinder.clusters.members import Members, address
from tests.servers import Servers

OURS, THEIRS = "ours", "theirs"
HOSTS = {host: address(host) for host in (OURS, THEIRS)}

_BEING_CREATED = (
    "UPDATE volumes SET status = 'creating' WHERE id = :volume",
    "INSERT INTO workers (created_at, updated_at, deleted, resource_type, resource_id, status,"
    " service_id, race_preventer) SELECT '2026-01-01', '2026-01-01', 0, 'Volume', :volume,"
    " 'creating', id, 0 FROM services WHERE host = :host AND deleted = 0",
)
"""Statements that leave a volume as a service does that dies while it creates it."""


class MixedCluster(Members):
    """Both hosts run the same driver of Cinder's.

    :param locks: the URL of the server of locks.
    """

    def __init__(self, servers: Servers, locks: str, directory: Path) -> None:
        self.volumes = directory / "volumes"
        driver = {
            "volume_driver": "reference_driver.ReferenceDriver",
            "local_path": self.volumes,
        }
        own: dict[str, dict[str, Any]] = {host: {} for host in HOSTS}
        super().__init__(servers, locks, directory, driver, own, theirs=(THEIRS,))

    def leave_creating(self, volume: Any, host: str) -> None:
        """Have a volume be one that a host was creating when it died."""
        engine = sa.create_engine(self.control.database)
        with engine.begin() as connection:
            name = {"host": HOSTS[host], "volume": volume.id}
            for statement in _BEING_CREATED:
                connection.execute(sa.text(statement), name)
        engine.dispose()

    def host_of(self, volume: Any) -> str:
        """Return the host in the row of a volume, without backend and pool."""
        shown = self.admin.api.volumes.get(volume.id)
        return str(getattr(shown, "os-vol-host-attr:host")).partition("@")[0]

    def files(self) -> list[str]:
        """Return the objects on the backend."""
        return sorted(path.name for path in self.volumes.iterdir())
