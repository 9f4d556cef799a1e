# SPDX-License-Identifier: Apache-2.0
"""The length of a run: with ``HOLDFAST_FULL=1`` every example and every pair, else a part."""

from __future__ import annotations

import os

FULL = bool(os.environ.get("HOLDFAST_FULL"))

_FEWEST = 8


def examples(number: int) -> int:
    """Return how many examples a property test tries, of the number in a full run."""
    return number if FULL else max(_FEWEST, number // 4)
