# SPDX-License-Identifier: Apache-2.0
"""Texts and exceptions that a database and a journal can keep.

taskflow stores an exception with its arguments and its causes, and takes neither
a cause that is no ``Exception`` nor an argument that is no JSON; it then forgets
the whole flow half way. A driver may raise anything at all.
"""

from __future__ import annotations

import json
import logging
import re
import traceback

from drivers.interface.errors import VolumeBackendAPIException
from flows.secret_texts import masked_text, masked_value

LOG = logging.getLogger(__name__)

LONGEST = 4000
"""Bytes that are kept of one text."""

TRACEBACK_LONGEST = 16000
"""Bytes that are kept of a traceback, its end."""

DEEPEST = 10
"""Causes of causes that are kept."""


def bounded(text: object, most: int, *, end: bool = False) -> str:
    """Return a text that every database can store, in at most so many bytes of UTF-8.

    NUL, lone surrogates, and characters that the three bytes of MySQL's ``utf8mb3`` do not
    hold are shown as escapes.

    :param end: whether its end is kept, instead of its beginning.
    """
    shown = "" if text is None else str(text)
    shown = shown[-most:] if end else shown[:most]
    kept = _UNSTORABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), shown)
    encoded = kept.encode()
    return (encoded[-most:] if end else encoded[:most]).decode(errors="ignore")


def without_secrets(text: str, most: int, *, end: bool = False) -> str:
    """Return a text as :func:`bounded` does, with its secrets masked.

    It is cut first, since a sender or a driver may have made it of any length, and generously,
    so that no half of a secret at the cut is within the bytes that are kept.
    """
    part = text[-_SPARE * most :] if end else text[: _SPARE * most]
    return bounded(masked_text(part), most, end=end)


_SPARE = 4

_UNSTORABLE = re.compile("[\x00\ud800-\udfff\U00010000-\U0010ffff]")


def text_of(error: BaseException) -> str:
    """Return an exception's text without secrets, even of one that cannot be shown."""
    try:
        return without_secrets(str(error), LONGEST)
    except Exception:  # noqa: BLE001 - a class of the driver's, with a __str__ of its own
        return f"{type(error).__name__} without a readable text"


def traceback_of(error: BaseException) -> str:
    """Return the end of an exception's traceback, for a log or the journal."""
    if not _readable(error):
        return ""
    lines = "".join(traceback.format_exception(error))
    return without_secrets(lines, TRACEBACK_LONGEST, end=True)


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
            if _readable(cause):
                _mend(cause)
            LOG.error("%s: the cause was %s", where, text_of(cause), exc_info=cause)
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
    """Mask secrets in the arguments; replace those that are not JSON, or too long, by a text."""
    try:
        fits = len(json.dumps(error.args)) <= LONGEST
    except (TypeError, ValueError, RecursionError):
        fits = False
    if not fits:
        error.args = (text_of(error),)
    masked = tuple(
        masked_text(one) if isinstance(one, str) else masked_value(one) for one in error.args
    )
    if masked != error.args:
        error.args = masked
    text = str(error)
    if (shown := masked_text(text)) != text:
        _show(error, shown)


def _show(error: BaseException, text: str) -> None:
    """Have an error, whose class makes its text of other things than its arguments, show this."""
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    try:
        error.__class__ = type(kind.__name__, (kind,), {**names, "__str__": lambda _self: text})
    except TypeError:  # a class of Python's own, such as OSError, that keeps its words apart
        if isinstance(error, OSError) and isinstance(error.strerror, str):
            error.strerror = masked_text(error.strerror)
