# SPDX-License-Identifier: Apache-2.0
"""An image service in memory, and data that goes nowhere but into a note."""

from __future__ import annotations

from typing import Any

from drivers.blockio import BlockFile
from drivers.interface.errors import ImageCopyFailure, ImageNotFound, VolumeBackendAPIException

IMAGE = {
    "id": "i1",
    "name": "linux",
    "status": "active",
    "size": 7,
    "disk_format": "raw",
    "container_format": "bare",
    "min_disk": 1,
    "min_ram": 0,
    "checksum": "abc",
    "virtual_size": None,
    "properties": {"os_distro": "debian"},
}


class Service:
    """The image service that drivers get."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {"i1": dict(IMAGE)}
        self.locations: Any = "file:///i1", None
        self.looks = self.outage = 0
        self.added_status = "active"
        self.refusal: Exception | None = None
        self.added: list[tuple[str, str, dict[str, str]]] = []

    def show(self, context: Any, image_id: str) -> dict[str, Any]:
        if self.outage > 0:
            self.outage -= 1
            raise ImageCopyFailure("503: no server answers")
        if image_id not in self.images:
            raise ImageNotFound(f"no image {image_id}")
        image = self.images[image_id]
        if image["status"] == "importing":
            self.looks -= 1
            if self.looks < 0:
                image["status"] = "active"
        return dict(image)

    def get_location(self, context: Any, image_id: str) -> Any:
        return self.locations

    def add_location(self, context: Any, image_id: str, url: str, metadata: Any) -> None:
        """Take a location, unless there is a refusal; the image is active after some looks."""
        self.added.append((image_id, url, dict(metadata)))
        if self.refusal is not None:
            raise self.refusal
        self.images[image_id]["status"] = "importing" if self.looks else self.added_status
        self.locations = None, [{"url": url}]

    def delete(self, context: Any, image_id: str) -> None:
        self.images.pop(image_id, None)


class Images:
    """Writes the image's id to the volume's path; an object that is ``aside`` has to go.

    As Glance, it takes data only for an image without any.
    """

    def __init__(self) -> None:
        self.service = Service()
        self.check: Any = None
        self.is_raw = True
        self.aside: set[str] = set()
        self.plan: dict[str, BaseException] = {}
        self.looked_at: list[tuple[str, int]] = []
        self.placements: list[dict[str, str]] = []
        self.encrypted_volumes: list[tuple[Any, bytes]] = []
        self.decrypted_volumes: list[bytes] = []

    def for_driver(self, check: Any) -> Any:
        return self.service if check is None else (self.service, check)

    def check_begin(self, context: Any, image: Any, size: int) -> None:
        self.looked_at.append((image["id"], size))
        if "check_begin" in self.plan:
            raise self.plan["check_begin"]

    def signature_check(self, image: Any) -> Any:
        if isinstance(self.check, Exception):
            raise self.check
        return self.check

    def encrypted(self, file: Any, wanted: Any, passphrase: bytes, size: int, key: str) -> Any:
        if "encrypted" in self.plan:
            raise self.plan["encrypted"]
        self.encrypted_volumes.append((wanted, passphrase))
        return BlockFile(file)

    def decrypted(self, file: Any, passphrase: bytes, size: int, key: str) -> Any:
        self.decrypted_volumes.append(passphrase)
        return BlockFile(file)

    def change_passphrase(
        self, file: Any, wanted: Any, old: bytes, new: bytes, size: int, key: str
    ) -> bool:
        """Write the passphrase into a file, in two steps: after the first one both open it."""
        self.aside.add(key)
        if "change_passphrase" in self.plan:
            raise self.plan["change_passphrase"]
        file.seek(0)
        found = file.read().split() if self.is_raw else []
        if found and found[0] == b"luks":
            if old not in found and new not in found:
                raise VolumeBackendAPIException("the key does not open the header of the volume")
            file.seek(0)
            file.write(b"luks %b" % new)
            file.truncate()
        self.aside.discard(key)
        return self.is_raw

    def fetch(
        self,
        context: Any,
        image: Any,
        file: Any,
        size: int,
        key: str,
        pace: Any,
        check: Any = None,
    ) -> None:
        self.aside.add(key)
        file = getattr(file, "_file", file)
        pace.progress(0.5)
        if "fetch" in self.plan:
            raise self.plan["fetch"]
        file.truncate(0)
        file.write(f"image {image['id']}".encode())
        self.aside.discard(key)

    def store(
        self, context: Any, image: Any, file: Any, key: str, pace: Any, placement: Any
    ) -> None:
        self.aside.add(key)
        status = self.service.images[image["id"]]["status"]
        if status not in ("queued", "saving"):
            raise ImageCopyFailure(f"409: image {image['id']} is {status}, and takes no data")
        self.placements.append(dict(placement))
        self.service.images[image["id"]] |= {"status": "saving"}
        if "store" in self.plan:
            raise self.plan["store"]
        data = file.read().decode()
        self.service.images[image["id"]] |= {"status": "active", "data": data}
        self.aside.discard(key)

    def clear(self, key: str) -> None:
        self.aside.discard(key)
