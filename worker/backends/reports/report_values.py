# SPDX-License-Identifier: Apache-2.0
"""Values that a capability report can carry: JSON, finite, bounded in depth and size.

The report goes to every scheduler as one JSON message, and a value that a scheduler cannot
compare fails the placement of volumes on all backends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oslo_utils import units

MAX_NUMBER = 10**15
"""Largest number, so that products of two of them stay finite."""

MAX_TEXT = 8192
"""Longest text, in characters."""

MAX_ITEMS = 1000
"""Most members of one list or dict."""

MAX_DEPTH = 4
"""Deepest nesting of dicts."""

MAX_SIZE = units.Mi
"""Characters of all texts and keys of a report; further ones are left out."""


class Unusable(ValueError):
    """The value cannot be reported; the text says why."""


def number(value: Any) -> int | float:
    """Return a number as ``int`` or ``float``. :raises Unusable: no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable("is no number")
    plain = int(value) if isinstance(value, int) else float(value)
    # Not a number compares as False; isnan() cannot take a large int.
    if not abs(plain) <= MAX_NUMBER:
        raise Unusable(f"is no number up to {MAX_NUMBER:.0e}")
    return plain


def text(value: Any) -> str:
    """Return a text without NUL and lone surrogates. :raises Unusable: no text, or too long."""
    if not isinstance(value, str):
        raise Unusable("is no text")
    if len(value) > MAX_TEXT:
        raise Unusable(f"is longer than {MAX_TEXT} characters")
    plain = str.__str__(value)  # of a subclass, too
    return plain.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


class ReportValues:
    """The values of one report, and how many characters of it are left.

    :param log: called with the place of a member that is left out, and the reason.
    """

    def __init__(self, log: Callable[[str, str], None]) -> None:
        self._log = log
        self._left = MAX_SIZE

    def take(self, *texts: str) -> None:
        """Count texts. :raises Unusable: the report is full."""
        size = sum(map(len, texts))
        if size > self._left:
            raise Unusable(f"does not fit: the report has {MAX_SIZE} characters already")
        self._left -= size

    def plain(self, value: Any, where: str, depth: int = 0) -> Any:
        """Return a value of any kind, without members that cannot be reported.

        :param where: its place, for the log.
        :raises Unusable: the value itself cannot be reported.
        """
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return number(value)
        if isinstance(value, str):
            plain = text(value)
            self.take(plain)
            if plain != value:
                self._log(where, "has NUL or lone surrogates, which are removed")
            return plain
        if isinstance(value, Mapping):
            return self._dict(value, where, depth)
        if isinstance(value, list | tuple | set | frozenset):
            return list(self._list(value, where))
        raise Unusable(f"is a {type(value).__name__}, which JSON cannot represent")

    def _dict(self, value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
        if depth >= MAX_DEPTH:
            raise Unusable(f"is nested more than {MAX_DEPTH} dicts deep")
        if len(value) > MAX_ITEMS:
            raise Unusable(f"has more than {MAX_ITEMS} members")
        found: dict[str, Any] = {}
        for key, member in value.items():
            here = f"{where}.{key}" if isinstance(key, str) else where
            try:
                self.take(usable_key(key))
                found[key] = self.plain(member, here, depth + 1)
            except Unusable as error:
                self._log(here, f"{error}; it is left out")
        return found

    def _list(self, value: Any, where: str) -> Iterator[Any]:
        if len(value) > MAX_ITEMS:
            raise Unusable(f"has more than {MAX_ITEMS} members")
        # The scheduler compares each member with a number or a text, so no lists in lists.
        for member in value if isinstance(value, list | tuple) else sorted(value, key=repr):
            try:
                if isinstance(member, Mapping | list | tuple | set | frozenset):
                    raise Unusable("is a list of lists or dicts")
                yield self.plain(member, where)
            except Unusable as error:
                self._log(where, f"{error}; such members are left out")


def usable_key(key: Any) -> str:
    """Return the key of a dict. :raises Unusable: no text, or one that JSON cannot carry."""
    if not isinstance(key, str) or not key or len(key) > 255 or text(key) != key:
        raise Unusable("has a key that is no plain text")
    return str.__str__(key)
