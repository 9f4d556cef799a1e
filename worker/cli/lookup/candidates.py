# SPDX-License-Identifier: Apache-2.0
"""Find the one thing whose id begins with the characters that a person gave."""

from __future__ import annotations

from worker.cli.lookup.errors import CommandError

LEAST = 4
"""Characters of an id that is cut short: a shell variable that is empty must mean nothing."""

SHOWN = 10
"""Candidates that an error lists."""


class Candidates:
    """Things with ids, of which one is wanted.

    :param kind: of these things, as ``volume``.
    :param wanted: the id, or its beginning.
    """

    def __init__(self, kind: str, wanted: str) -> None:
        self._kind = kind
        self._wanted = wanted
        self._found: dict[str, tuple[str, object]] = {}

    def add(self, found_id: str, found: object, kind: str = "") -> None:
        """Add a thing if its id begins as wanted; of several with one id, the first counts.

        :param kind: its kind, where it is another one.
        """
        if found_id and found_id.startswith(self._wanted):
            self._found.setdefault(found_id, (kind or self._kind, found))

    @property
    def is_exact(self) -> bool:
        """Whether a thing with exactly the wanted id was added."""
        return self._wanted in self._found

    @property
    def any(self) -> bool:
        """Whether a thing was added."""
        return bool(self._found)

    def only(self, listed_by: str) -> object:
        """Return the wanted thing.

        :param listed_by: the command that lists all of them.
        :raises CommandError: there is none, or there are several.
        """
        if self.is_exact:
            return self._found[self._wanted][1]
        see = f"see: holdfast {listed_by}"
        if len(self._wanted) < LEAST:
            text = f"{self._wanted} is too short for the id of a {self._kind}"
            raise CommandError(f"{text}: give at least {LEAST} characters of it; {see}")
        if not self._found:
            raise CommandError(f"{self._kind} {self._wanted} does not exist; {see}")
        if len(self._found) > 1:
            shown = [f"{kind} {name}" for name, (kind, _) in list(self._found.items())[:SHOWN]]
            more = len(self._found) - len(shown)
            several = ", ".join(shown) + (f" and {more} more" if more else "")
            raise CommandError(f"{self._wanted} is the beginning of several ids: {several}")
        ((_kind, found),) = self._found.values()
        return found
