# SPDX-License-Identifier: Apache-2.0
"""Log levels of a running process, by prefix of the logger's name."""

from __future__ import annotations

import logging

from flows.errors import InvalidInput

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def set_levels(prefix: str, level: str) -> None:
    """Set the level of all loggers whose names start with a prefix.

    :raises InvalidInput: no such level.
    """
    wanted = level.upper()
    if wanted not in LEVELS:
        raise InvalidInput(f"log level {level!r} is none of {', '.join(LEVELS)}")
    for name in _names(prefix):
        logging.getLogger(name).setLevel(wanted)


def levels(prefix: str) -> dict[str, str]:
    """Return the effective level of each logger whose name starts with a prefix."""
    return {
        name: logging.getLevelName(logging.getLogger(name).getEffectiveLevel())
        for name in _names(prefix)
    }


def _names(prefix: str) -> list[str]:
    known = [name for name, found in logging.root.manager.loggerDict.items() if name and found]
    return sorted(name for name in known if name.startswith(prefix))
