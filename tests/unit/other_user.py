# SPDX-License-Identifier: Apache-2.0
"""Another user without rights, for tests of permissions that run as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

OTHER = 65534
"""The user nobody."""

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="makes files of another user")


@contextmanager
def other_user() -> Iterator[None]:
    """Be that user."""
    os.setegid(OTHER)
    os.seteuid(OTHER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
