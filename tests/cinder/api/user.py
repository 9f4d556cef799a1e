# SPDX-License-Identifier: Apache-2.0
"""A user of the API: python-cinderclient, and patience."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cinderclient import client, exceptions
from cinderclient.contrib.noauth import CinderNoAuthPlugin
from keystoneauth1 import session

VERSION = "3.71"
PATIENCE = 240.0
"""How long an operation may take, in seconds; Cinder's own backup of a GiB takes a minute
and more on a busy machine."""


class User:
    """A user with a project of their own.

    :param url: of the API, without a project.
    """

    def __init__(self, url: str, project: str, user: str = "somebody") -> None:
        auth = CinderNoAuthPlugin(user, project, endpoint=url)
        self.project = project
        self.api = client.Client(VERSION, session=session.Session(auth=auth))

    def volume(self, size: int = 1, wanted: str = "available", **given: Any) -> Any:
        """Create a volume and wait for it."""
        made = self.api.volumes.create(size, **given)
        return self.wait(self.api.volumes, made, wanted)

    def snapshot(self, volume: Any, wanted: str = "available", **given: Any) -> Any:
        """Create a snapshot and wait for it."""
        made = self.api.volume_snapshots.create(volume.id, **given)
        return self.wait(self.api.volume_snapshots, made, wanted)

    def wait(self, manager: Any, resource: Any, wanted: str) -> Any:
        """Wait until a resource has a status, and return it as it is then."""
        seen = resource

        def there() -> bool:
            nonlocal seen
            seen = manager.get(resource.id)
            ended = seen.status.startswith("error") and not wanted.startswith("error")
            assert not ended, f"{resource.id} is in {seen.status}, not in {wanted}"
            return bool(seen.status == wanted)

        wait(there, lambda: f"{resource.id} is in {seen.status}, not in {wanted}")
        return seen

    def wait_for(self, manager: Any, resource: Any, condition: Callable[[Any], object]) -> Any:
        """Wait until a resource is as wanted, and return it."""
        seen = resource

        def there() -> object:
            nonlocal seen
            seen = manager.get(resource.id)
            assert not seen.status.startswith("error"), f"{resource.id} is in {seen.status}"
            return condition(seen)

        wait(there, lambda: f"{resource.id} is not as wanted: {seen.to_dict()}")
        return seen

    def wait_size(self, volume: Any, size: int) -> Any:
        """Wait until a volume has a size, in GiB, and is at rest."""
        rest = ("available", "in-use")
        return self.wait_for(
            self.api.volumes, volume, lambda v: v.size == size and v.status in rest
        )

    def attached(self, volume: Any, host: str = "compute", instance: str | None = None) -> Any:
        """Attach a volume as Nova does, and return the attachment."""
        connector = {
            "host": host,
            "ip": "127.0.0.1",
            "initiator": f"iqn.2026-11.org.example:{host}",
        }
        made = self.api.attachments.create(volume.id, connector, instance)
        self.api.attachments.complete(made["id"])
        self.wait(self.api.volumes, volume, "in-use")
        return made

    def wait_gone(self, manager: Any, resource: Any) -> None:
        """Wait until a resource is not there any more."""
        seen: Any = None

        def gone() -> bool:
            nonlocal seen
            try:
                seen = manager.get(resource.id)
            except exceptions.NotFound:
                return True
            assert not seen.status.startswith("error"), f"{resource.id} is in {seen.status}"
            return False

        wait(gone, lambda: f"{resource.id} is still there, in {seen.status}")

    def deleted(self, manager: Any, resource: Any, **how: Any) -> None:
        """Delete a resource and wait until it is gone."""
        manager.delete(resource.id, **how)
        self.wait_gone(manager, resource)

    def usage(self) -> dict[str, int]:
        """Return the quotas in use, and as ``NAME reserved`` the reserved ones."""
        found = self.api.quotas.get(self.project, usage=True)._info
        of_use = {name: kept for name, kept in found.items() if isinstance(kept, dict)}
        reserved = {f"{name} reserved": kept["reserved"] for name, kept in of_use.items()}
        in_use = {name: kept["in_use"] for name, kept in of_use.items()}
        return {name: count for name, count in (in_use | reserved).items() if count}

    def wait_usage(self, wanted: dict[str, int]) -> None:
        """Wait until this is in use: Cinder counts when a row is gone already."""
        wait(lambda: self.usage() == wanted, lambda: f"{self.usage()} is in use, not {wanted}")

    def told(self, resource: Any) -> list[str]:
        """Return the user messages about a resource."""
        wait(lambda: self._messages(resource.id), lambda: f"no message about {resource.id}")
        return self._messages(resource.id)

    def _messages(self, resource_id: str) -> list[str]:
        found = self.api.messages.list(search_opts={"resource_uuid": resource_id})
        return [message.user_message for message in found]


def wait(condition: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait until a condition holds; fail with a text otherwise."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"after {PATIENCE:.0f} s {what()}"
        time.sleep(0.05)
