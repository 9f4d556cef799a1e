# SPDX-License-Identifier: Apache-2.0
"""Names that lead out of the directories of a driver.

The suite runs drivers that follow them, often as root, and such a driver may write, rename or
remove the file that the name leads to. So no file of the machine has these names, except one that a
test makes there, and each process that runs tests has names of its own.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ANY = "holdfast-conformance-outside"

OUTSIDE = f"{_ANY}-{uuid.uuid4().hex[:8]}"

DIRECTORY = tempfile.gettempdir()

ABSOLUTE = f"{DIRECTORY}/{OUTSIDE}"

_TO_THE_ROOT = "../" * 16


def _relative(absolute: str) -> str:
    """Return a path that leads to the same file from any directory."""
    return f"{_TO_THE_ROOT}{absolute.lstrip('/')}"


RELATIVE = _relative(ABSOLUTE)


def shown(value: object) -> str:
    """Return the id of a test, which is the same on every machine and in every process."""
    text = str(value).replace(_TO_THE_ROOT, "../../").replace(DIRECTORY.lstrip("/"), "tmp")
    return text.replace(OUTSIDE, _ANY)


@contextmanager
def file(size: int) -> Iterator[tuple[str, str]]:
    """Make a file, and see that it stays as it is.

    :param size: in bytes; most of them are zeros.
    :return: its absolute path, and one that leads to it from any directory.
    """
    # Runs of the suite that are forked share the names above.
    made = Path(DIRECTORY, f"{_ANY}-of-{os.getpid()}")
    made.write_bytes(b"another's")
    os.truncate(made, size)
    try:
        yield str(made), _relative(str(made))
        assert made.is_file(), "the file outside is gone"
        assert made.stat().st_size == size
        assert _begin(made) == b"another's\0"
    finally:
        made.unlink(missing_ok=True)


def _begin(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(10)


@contextmanager
def removed() -> Iterator[None]:
    """Remove at the end the files that a driver has made of :data:`ABSOLUTE`."""
    try:
        yield
    finally:
        for left in Path(DIRECTORY).glob(f"{OUTSIDE}*"):
            if left.is_file():
                left.unlink(missing_ok=True)
