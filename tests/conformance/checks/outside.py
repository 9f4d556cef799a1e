# SPDX-License-Identifier: Apache-2.0
"""Names that lead out of the directories of a driver.

The suite runs drivers that follow them, often as root, and such a driver may write, rename or
remove the file that the name leads to. So no file of the machine has these names, and each process
that runs tests has names of its own.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ANY = "holdfast-conformance-outside"

OUTSIDE = f"{_ANY}-{uuid.uuid4().hex[:8]}"

RELATIVE = f"../../{OUTSIDE}"

DIRECTORY = tempfile.gettempdir()

ABSOLUTE = f"{DIRECTORY}/{OUTSIDE}"


def shown(value: object) -> str:
    """Return the id of a test, which is the same on every machine and in every process."""
    return str(value).replace(DIRECTORY, "/tmp").replace(OUTSIDE, _ANY)  # noqa: S108 - only shown


@contextmanager
def removed() -> Iterator[None]:
    """Remove at the end the files that a driver has made of :data:`ABSOLUTE`."""
    try:
        yield
    finally:
        for left in Path(DIRECTORY).glob(f"{OUTSIDE}*"):
            if left.is_file():
                left.unlink(missing_ok=True)
