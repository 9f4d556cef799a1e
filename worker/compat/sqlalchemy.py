# SPDX-License-Identifier: Apache-2.0
"""Private parts of SQLAlchemy: the conversions of a compiled statement's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa


def bind_processors(compiled: sa.Compiled) -> Mapping[str, Callable[[Any], Any]]:
    """Return the functions that convert values for the database, by their parameters."""
    processors: Mapping[str, Callable[[Any], Any]] = compiled._bind_processors  # type: ignore[attr-defined]
    return processors
