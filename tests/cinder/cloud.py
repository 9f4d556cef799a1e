# SPDX-License-Identifier: Apache-2.0
"""All running services, and the contents of the backends' disks."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openstack
import sqlalchemy as sa

from tests.cinder.api.user import User, wait
from tests.cinder.control import BACKENDS, NODE, Control
from tests.cinder.workers import Workers
from tests.notifications import Notifications
from tests.reading import blocks

MIB = 1024**2
_BLOCK = 4096


class Cloud:
    """A control plane and the services under test."""

    def __init__(self, control: Control, workers: Workers, notices: Notifications) -> None:
        self.control = control
        self.workers = workers
        self.notices = notices
        self.admin = User(control.url, "ad" * 16, "admin")
        self._dice = random.Random(6)

    def user(self) -> User:
        """Return a user of an unused project."""
        return User(self.control.url, uuid.uuid4().hex)

    def wait_up(self) -> None:
        """Wait until the API and the scheduler count the services as up."""
        wanted = {f"{NODE}@{name}" for name in BACKENDS} | {NODE}

        def up() -> bool:
            self.workers.check()
            found = self.admin.api.services.list()
            alive = {s.host for s in found if s.state == "up" and s.binary != "cinder-scheduler"}
            return alive >= wanted and len(self.pools()) >= len(BACKENDS)

        wait(up, lambda: f"the services are not up:\n{self.workers.tail()}")

    def pools(self) -> set[str]:
        """Return the backends that the scheduler knows of."""
        return {pool.name.partition("#")[0] for pool in self.admin.api.pools.list()}

    def type(self, name: str, specs: Mapping[str, str]) -> Any:
        """Return the volume type of a name; it is made the first time."""
        types = self.admin.api.volume_types
        for known in types.list():
            if known.name == name:
                return known
        made = types.create(name)
        made.set_keys(dict(specs))
        return made

    def group_type(self, name: str, specs: Mapping[str, str]) -> Any:
        """Return the group type of a name; it is made the first time."""
        types = self.admin.api.group_types
        for known in types.list():
            if known.name == name:
                return known
        made = types.create(name)
        if specs:
            made.set_keys(dict(specs))
        return made

    def forget(self, backup: Any) -> None:
        """Remove a backup's row, as if this were another installation."""
        self.execute("DELETE FROM backups WHERE id = :id", id=backup.id)

    def enable(self, host: str) -> None:
        """Enable a service: the API of Cinder 29.0.0 answers that it did, and does nothing."""
        self.execute("UPDATE services SET disabled = 0 WHERE host = :host", host=host)

    def file(self, volume: Any) -> Path:
        """Return where a volume's data is."""
        shown = self.admin.api.volumes.get(volume.id)
        backend = getattr(shown, "os-vol-host-attr:host").partition("@")[2].partition("#")[0]
        name = getattr(shown, "os-vol-mig-status-attr:name_id", None) or volume.id
        return self.workers.place(backend) / f"volume-{name}"

    def left(self, resource: Any) -> list[Path]:
        """Return the objects named after a resource on the backends."""
        return [
            path for name in BACKENDS for path in self.workers.place(name).glob(f"*{resource.id}*")
        ]

    def wait_no_file(self, path: Path) -> None:
        """Wait until a file is gone."""
        wait(lambda: not path.exists(), lambda: f"{path} is still there")

    def scribble(self, volume: Any) -> None:
        """Write some places of a volume."""
        path = self.file(volume)
        with open(path, "r+b") as file:
            for _ in range(4):
                file.seek(self._dice.randrange(path.stat().st_size - MIB))
                file.write(self._dice.randbytes(self._dice.randrange(1, MIB)))

    def data(self, volume: Any) -> str:
        """Return a checksum of a volume's data; zeros and where it ends do not count."""
        digest = hashlib.sha256()
        for offset, block in blocks(self.file(volume), _BLOCK):
            digest.update(offset.to_bytes(8, "big") + block)
        return digest.hexdigest()

    def execute(self, statement: str, **values: str) -> None:
        """Change the database behind everybody's back."""
        engine = sa.create_engine(self.control.database)
        with engine.begin() as connection:
            connection.execute(sa.text(statement), values)
        engine.dispose()

    @functools.cached_property
    def images(self) -> Any:
        """The image service's API."""
        url = self.control.images
        kept = openstack.connection.Connection(
            auth_type="none", endpoint=url, image_endpoint_override=url
        )
        return kept.image

    def image(
        self, data: bytes = b"", disk_format: str = "raw", **properties: str
    ) -> tuple[str, bytes]:
        """Make an image, and return its id and its data."""
        data = data or os.urandom(4 * MIB)
        described = {"disk_format": disk_format, "container_format": "bare", **properties}
        name = uuid.uuid4().hex
        made = self.images.create_image(
            name, data=data, visibility="public", wait=True, **described
        )
        return made.id, data
