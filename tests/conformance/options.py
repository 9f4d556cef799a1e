# SPDX-License-Identifier: Apache-2.0
"""Options of a driver under test: those of every backend, and its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

COMMON: Mapping[str, Any] = {
    "volume_backend_name": "conformance",
    "reserved_percentage": 5,
    "max_over_subscription_ratio": "20.0",
    "volume_name_template": "volume-%s",
    "snapshot_name_template": "snapshot-%s",
}
"""Options that every backend has."""


class UnknownOption(ValueError):
    """An option that the driver does not have."""


def known_options(options: Iterable[Any]) -> list[str]:
    """Return the names of the options that a driver has."""
    return sorted({*COMMON, *(option.dest for option in options)})


def require_known(options: Iterable[Any], given: Collection[str]) -> None:
    """Refuse options that the driver does not have.

    :raises UnknownOption: the text lists those that it has.
    """
    known = known_options(options)
    if unknown := sorted(set(given) - set(known)):
        text = f"the driver has no option {', '.join(unknown)}; it has {', '.join(known)}"
        raise UnknownOption(text)


def pairs(given: Iterable[str]) -> dict[str, str]:
    """Return options that were given as ``KEY=VALUE``.

    :raises UnknownOption: one is no such pair.
    """
    found = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UnknownOption(f"{text!r} is not KEY=VALUE")
        found[name] = value
    return found
