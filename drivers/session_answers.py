# SPDX-License-Identifier: Apache-2.0
"""Limit the answers of a session: their heads, and bodies that are read as a whole.

Requests carry the present trace.

Keystone's answers, a token with the catalogue and documents of versions, are read so by
keystoneauth. Imported only where a session is made: the libraries take memory.
"""

from __future__ import annotations

import io
from typing import Any

from requests import exceptions
from urllib3.exceptions import HTTPError

from drivers import answer_heads, http_answers
from drivers.trace_headers import TRACE_HEADERS

_SECONDS = 60.0
"""In which a body has to end where the session has no timeout."""


def limit(session: Any) -> None:
    """Limit the answers of a session.

    :param session: of requests, before its first request.
    """
    answer_heads.limit(session)
    TRACE_HEADERS.add_to(session)
    session.hooks["response"].append(_read_whole)


def _read_whole(answer: Any, *, stream: bool = False, timeout: Any = None, **_: Any) -> None:
    """Read the body of an answer that is not read in parts.

    :raises RequestException: it is too long, or takes too long.
    """
    if stream:
        return
    seconds = float(timeout) if isinstance(timeout, int | float) else _SECONDS
    try:
        body = http_answers.content(answer.raw, seconds)
    except (HTTPError, TimeoutError) as error:
        answer.close()
        raise exceptions.ConnectionError(f"the answer cannot be read: {error}") from error
    except http_answers.AnswerTooLong as error:
        answer.close()
        raise exceptions.RequestException(f"the answer is refused: {error}") from error
    answer.raw = io.BytesIO(body)
