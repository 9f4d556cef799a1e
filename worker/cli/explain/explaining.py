# SPDX-License-Identifier: Apache-2.0
"""The subject of an id that a person gave, and the document about it."""

from __future__ import annotations

from typing import Any

from worker.cli.access import Access, CommandError, NoJournal
from worker.cli.lookup.candidates import LEAST, Candidates
from worker.explanation.document import gather
from worker.explanation.subjects import Stores, Subject, matches


def document_of(access: Access, wanted: str, *, log: bool) -> dict[str, Any]:
    """Return the document about an id, or about the one that begins like this.

    :param log: whether to search the logs of this host.
    :raises CommandError: there is none, or there are several.
    """
    stores = stores_of(access)
    return gather(stores, _subject(stores, wanted), log=log)


def stores_of(access: Access) -> Stores:
    """Open journal and database as far as possible: one of them explains something, too."""
    gaps: list[str] = []
    records = _opened(access, "records", gaps)
    journal = _opened(access, "journal", gaps)
    if records is None and journal is None:
        raise CommandError("; ".join(gaps))
    return Stores(access.conf, records, journal, tuple(gaps))


def _opened(access: Access, name: str, gaps: list[str]) -> Any:
    try:
        return getattr(access, name)
    except (CommandError, NoJournal) as error:
        gaps.append(str(error))
        return None


def _subject(stores: Stores, wanted: str) -> Subject:
    found = Candidates("resource, flow or request", wanted)
    if len(wanted) >= LEAST:
        for one in matches(stores, wanted):
            found.add(_matched(one.id, wanted), one, one.kind)
    only = found.only("flow list --all")
    assert isinstance(only, Subject)
    return only


def _matched(found_id: str, wanted: str) -> str:
    """Return the id as it was given: a request's may lack its prefix, a message's is another."""
    names = (found_id, found_id.removeprefix("req-"))
    return next((name for name in names if name.startswith(wanted)), wanted)
