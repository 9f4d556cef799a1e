# SPDX-License-Identifier: Apache-2.0
"""Our image service, as Cinder's drivers know one."""

from __future__ import annotations

from typing import Any

from drivers.interface.image import ImageService, Locations


class ImageServiceForCinder:
    """The methods of an image service that Cinder's drivers call.

    Cinder's code caches fetched images on the object, so each call of a driver
    is given another one.

    :ivar temp_images: images that Cinder has fetched for another use.
    :param service: the image service.
    :param request: of the operation; Cinder's context lacks fields that our service may need.
    """

    temp_images: Any = None

    def __init__(self, service: ImageService, request: Any) -> None:
        self._service = service
        self._request = request

    def show(self, _context: Any, image_id: str) -> dict[str, Any]:
        """Return an image's metadata; the caller may change it."""
        found = dict(self._service.show(self._request, image_id))
        found["properties"] = dict(found.get("properties") or {})
        return found

    def get_location(self, _context: Any, image_id: str) -> Locations:
        """Return where its data is."""
        return self._service.get_location(self._request, image_id)

    def download(self, _context: Any, image_id: str, data: Any = None) -> Any:
        """Write an image to a file, or return its pieces."""
        return self._service.download(self._request, image_id, data)

    def update(
        self, _context: Any, image_id: str, image_meta: Any, data: Any = None, *_: Any, **more: Any
    ) -> Any:
        """Write an image's data."""
        return self._service.update(self._request, image_id, image_meta, data, **more)

    def delete(self, _context: Any, image_id: str) -> None:
        """Remove an image."""
        self._service.delete(self._request, image_id)

    def create(self, _context: Any, image_meta: Any, data: Any = None) -> dict[str, Any]:
        """Make an image."""
        return dict(self._service.create(self._request, image_meta, data))
