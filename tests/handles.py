# SPDX-License-Identifier: Apache-2.0
"""A volume as a file object without a descriptor, as os-brick returns for RBD."""

from __future__ import annotations

import io
from typing import Any


class Handle(io.BytesIO):
    """A file by its methods only, whose ``write`` returns nothing.

    ``written`` holds the length of each write; ``flushes`` counts the flushes.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.written: list[int] = []
        self.flushes = 0

    def fileno(self) -> int:
        raise OSError("an RBD image has no descriptor")

    def write(self, data: Any) -> None:  # type: ignore[override]
        self.written.append(super().write(data))

    def flush(self) -> None:
        self.flushes += 1
