# SPDX-License-Identifier: Apache-2.0
"""An image service whose network is slow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from drivers.image.directory import DirectoryImages

PAUSE = 0.1
"""Seconds for each MiB."""


class SlowImages(DirectoryImages):
    """Images in a directory, a chunk at a time."""

    def _chunks(self, image_id: str) -> Iterator[Any]:
        for chunk in super()._chunks(image_id):
            time.sleep(PAUSE)
            yield chunk
