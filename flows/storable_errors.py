# SPDX-License-Identifier: Apache-2.0
"""Exceptions that a journal can keep.

taskflow stores an exception with its arguments and its causes, and takes neither
a cause that is no ``Exception`` nor an argument that is no JSON; it then forgets
the whole flow half way. A driver may raise anything at all.
"""

from __future__ import annotations

import json
import logging

from drivers.interface.errors import VolumeBackendAPIException

LOG = logging.getLogger(__name__)

LONGEST = 4000
"""Characters that are kept of one text."""

DEEPEST = 10
"""Causes of causes that are kept."""


def text_of(error: BaseException) -> str:
    """Return an exception's text, even of one that cannot be shown."""
    try:
        return str(error)[:LONGEST].encode(errors="replace").decode()
    except Exception:  # noqa: BLE001 - a class of the driver's, with a __str__ of its own
        return f"{type(error).__name__} without a readable text"


def storable(error: BaseException, where: str) -> Exception:
    """Return the error, or a replacement that a journal can store.

    Its class stays where it can, as statuses follow from it. Causes that cannot be
    stored are cut off, and logged here, as they are lost otherwise.
    """
    kept = error if isinstance(error, Exception) and _readable(error) else None
    if kept is None:
        kept = VolumeBackendAPIException(f"{type(error).__name__} in {where}: {text_of(error)}")
        kept.__cause__ = error
    _mend(kept)
    link: BaseException = kept
    for depth in range(DEEPEST + 1):
        cause = _cause(link)
        if cause is None:
            break
        if depth == DEEPEST or not isinstance(cause, Exception) or not _readable(cause):
            LOG.error("%s: the cause was %s", where, text_of(cause), exc_info=_shown(cause))
            link.__cause__ = None  # which hides the context as well
            break
        _mend(cause)
        link = cause
    return kept


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _readable(error: BaseException) -> bool:
    try:
        str(error)
    except Exception:  # noqa: BLE001 - see text_of
        return False
    return True


def _mend(error: BaseException) -> None:
    """Replace arguments that are not JSON, or too long, by their text."""
    try:
        fits = len(json.dumps(error.args)) <= LONGEST
    except (TypeError, ValueError, RecursionError):
        fits = False
    if not fits:
        error.args = (text_of(error),)


def _shown(error: BaseException) -> BaseException | None:
    return error if _readable(error) else None
