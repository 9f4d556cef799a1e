# SPDX-License-Identifier: Apache-2.0
"""Prefixes of the copies of one backup, which differ in their moments.

Each attempt to make a copy has a prefix of its own, with a random part behind the moment: a late
write of an attempt that was given up does not touch the objects of another one.
"""

from __future__ import annotations

import datetime
import re
import secrets

_MOMENT = re.compile(r"(?<=[_/])(\d{14})(?:-[0-9a-f]{16})?(?=[_/])")
_FORM = "%Y%m%d%H%M%S"


def at_another_moment(prefix: str, other: str | None) -> str:
    """Return a prefix, or that of the next second where another one is of the same moment."""
    if other is None or all_attempts(prefix) != all_attempts(other):
        return prefix
    return _MOMENT.sub(lambda found: _next_second(found[1]), prefix, count=1)


def of_attempt(prefix: str) -> str:
    """Return a prefix for one attempt."""
    return _MOMENT.sub(lambda found: f"{found[1]}-{secrets.token_hex(8)}", prefix, count=1)


def all_attempts(prefix: str) -> str:
    """Return the begin of the prefixes of all attempts of the same moment."""
    found = _MOMENT.search(prefix)
    return prefix[: found.end(1)] if found else prefix


def all_moments(prefix: str) -> str:
    """Return the begin of the prefixes of all moments."""
    found = _MOMENT.search(prefix)
    return prefix[: found.start()] if found else prefix


def _next_second(moment: str) -> str:
    found = datetime.datetime.strptime(moment, _FORM)  # noqa: DTZ007 - as names have it
    return f"{found + datetime.timedelta(seconds=1):{_FORM}}"
