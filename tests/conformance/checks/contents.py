# SPDX-License-Identifier: Apache-2.0
"""Contents of volumes, backups and images, compared.

pytest explains why two values are unequal line by line, which takes minutes for a MiB: with ``-v``,
and wherever the variable CI is set.
"""

from __future__ import annotations

import os

_SHOWN = 16


def difference(found: bytes, wanted: bytes) -> str | None:
    """Return where two contents begin to differ; None where they are equal."""
    if found == wanted:
        return None
    at = len(os.path.commonprefix([found, wanted]))
    one, other = (bytes(text[at : at + _SHOWN]) for text in (found, wanted))
    lengths = f"{len(found)} and {len(wanted)} bytes"
    return f"byte {at}: {one!r}, expected {other!r} (contents of {lengths})"
