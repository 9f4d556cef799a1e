# SPDX-License-Identifier: Apache-2.0
"""Locations of images: Glance's Location API, and the fields of an image in versions before it.

Glance 2.17 and newer show locations to an account with the role ``service``, and to
administrators. Earlier versions show them in the record of an image, where
``show_multiple_locations`` or ``show_image_direct_url`` is set; the Glance project advises against
both.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from drivers.image.glance_client.glance_server import GlanceServer
from drivers.interface.errors import ImageCopyFailure
from drivers.interface.image import Locations

LOG = logging.getLogger(__name__)

_FORBIDDEN = 403
_NO_API = (404, 405, 410, 501)
"""Answers to a path that is not there."""

_PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}

T = TypeVar("T")
Retried = Callable[[str, Callable[[GlanceServer], T]], T]
"""Sends a request, given a label for errors and a function, until a server answers."""


class GlanceLocations:
    """Reads and adds locations.

    :param retried: sends requests with an account that may see locations.
    """

    def __init__(self, retried: Retried[Any]) -> None:
        self._retried = retried
        self._guard = threading.Lock()
        self._logged: set[str] = set()

    def of(self, image_id: str, record: Callable[[], Mapping[str, Any]]) -> Locations:
        """Return the locations of an image.

        :param record: asks Glance for the record of the image, where its locations may be shown.
        :raises ImageError: Glance does not answer, or has no such image.
        """
        found, answer = self._retried(f"image {image_id}", lambda server: _list(server, image_id))
        if found:
            return None, found
        if answer.startswith(str(_FORBIDDEN)):
            self._warn(f"the account may not read locations of images: {answer}")
        known = record()
        locations = known.get("direct_url"), known.get("locations")
        if answer and not any(locations):
            self._warn(f"Glance shows no locations of images: {answer}, and none in their records")
        return locations

    def add(self, image_id: str, url: str, metadata: Mapping[str, Any]) -> None:
        """Give an image without data a location. Glance may note it only after this call.

        :param metadata: for a version without Location API, which would not add its own.
        :raises ImageError: the text has the reason of Glance.
        """

        def send(server: GlanceServer) -> None:
            label, path = f"a location of image {image_id}", f"/images/{image_id}"
            body: Any = {"url": url, "validation_data": {}}
            with server.request("POST", f"{path}/locations", label, json=body) as answer:
                if answer.status not in _NO_API:
                    answer.check_allowed()
                    return
            value = {"url": url, "metadata": dict(metadata)}
            body = [{"op": "add", "path": "/locations/-", "value": value}]
            with server.request("PATCH", path, label, json=body, headers=_PATCH) as answer:
                answer.check_allowed()

        self._retried(f"image {image_id}", send)

    def _warn(self, text: str) -> None:
        """Log something that is the same for all images; once."""
        with self._guard:
            if text in self._logged:
                return
            self._logged.add(text)
        advice = "give the account the role service, or volumes are copied from images, not cloned"
        LOG.warning("%s; %s", text, advice)


def _list(server: GlanceServer, image_id: str) -> tuple[list[Mapping[str, Any]], str]:
    """Return the locations of an image, and the answer without the image where there are none."""
    label = f"locations of image {image_id}"
    with server.request("GET", f"/images/{image_id}/locations", label) as answer:
        if answer.status == _FORBIDDEN or answer.status in _NO_API:
            return [], f"{answer.status} at {server.name}/v2/images/ID/locations"
        answer.check()
        found = answer.content()
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ImageCopyFailure(f"Glance has no list of {label}: {found!r:.80}")
    return found, ""
