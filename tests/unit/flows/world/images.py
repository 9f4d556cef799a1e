# SPDX-License-Identifier: Apache-2.0
"""An image service in memory, and data that goes nowhere but into a note."""

from __future__ import annotations

from typing import Any

from drivers.interface.errors import ImageNotFound

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

    def show(self, context: Any, image_id: str) -> dict[str, Any]:
        if image_id not in self.images:
            raise ImageNotFound(f"no image {image_id}")
        return dict(self.images[image_id])

    def get_location(self, context: Any, image_id: str) -> Any:
        return "file:///i1", None

    def delete(self, context: Any, image_id: str) -> None:
        self.images.pop(image_id, None)


class Images:
    """Writes the image's id to the volume's path; an object that is ``aside`` has to go."""

    def __init__(self) -> None:
        self.service = Service()
        self.aside: set[str] = set()
        self.plan: dict[str, BaseException] = {}
        self.placements: list[dict[str, str]] = []

    def fetch(self, context: Any, image: Any, file: Any, size: int, key: str, pace: Any) -> None:
        self.aside.add(key)
        pace.tell(0.5)
        if "fetch" in self.plan:
            raise self.plan["fetch"]
        file.truncate(0)
        file.write(f"image {image['id']}".encode())
        self.aside.discard(key)

    def store(
        self, context: Any, image: Any, file: Any, key: str, pace: Any, placement: Any
    ) -> None:
        self.aside.add(key)
        self.placements.append(dict(placement))
        self.service.images[image["id"]] |= {"status": "saving"}
        if "store" in self.plan:
            raise self.plan["store"]
        data = file.read().decode()
        self.service.images[image["id"]] |= {"status": "active", "data": data}
        self.aside.discard(key)

    def clear(self, key: str) -> None:
        self.aside.discard(key)
