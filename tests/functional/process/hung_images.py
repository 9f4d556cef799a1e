# SPDX-License-Identifier: Apache-2.0
"""An image service that does not answer while a file ``hung`` is in its directory."""

from __future__ import annotations

import time
from typing import Any

from drivers.image.directory import DirectoryImages


class HungImages(DirectoryImages):
    """Images in a directory."""

    def show(self, context: Any, image_id: str) -> Any:
        while (self._path / "hung").exists():
            time.sleep(0.05)
        return super().show(context, image_id)
