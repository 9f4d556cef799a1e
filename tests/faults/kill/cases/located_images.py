# SPDX-License-Identifier: Apache-2.0
"""Images in a directory, some of which are kept in volumes, as Glance keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.image.directory import DirectoryImages
from drivers.interface.image import ImageStatus, Locations


class LocatedImages(DirectoryImages):
    """The field ``locations`` of an image has its addresses."""

    def get_location(self, context: Any, image_id: str) -> Locations:
        """Return the addresses."""
        return None, list(self.show(context, image_id).get("locations") or [])

    def add_location(
        self, context: Any, image_id: str, url: str, metadata: Mapping[str, Any]
    ) -> None:
        """Note an address; the image is whole then."""
        found = {"url": url, "metadata": dict(metadata)}
        known = {"status": ImageStatus.ACTIVE, "size": 1, "locations": [found]}
        self.update(context, image_id, known)
