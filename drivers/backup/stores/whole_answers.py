# SPDX-License-Identifier: Apache-2.0
"""Answers of an object store that its client reads as a whole: lists and errors.

Clients of S3 and Swift read such a body without a limit and parse it at once. A store could send
one that has no end, that inflates, or that takes a hundred times its size as XML. One page of a
list is a few hundred KiB.
"""

from __future__ import annotations

from typing import Any

from oslo_utils import units

from drivers import http_answers

LONGEST = 2 * units.Mi
"""Bytes of an answer; 2 MiB of nested elements take 80 MiB."""

ELEMENTS = 100_000
"""Tags of XML, or beginnings of lists and mappings of JSON; a page of a list has 25,000."""


class AnswerRefused(ValueError):
    """A body that would take much memory."""


def content(raw: Any, seconds: float) -> bytes:
    """Return a whole body, decompressed.

    :param raw: the answer of urllib3.
    :param seconds: in which it has to end.
    :raises ValueError: it is longer, or has more parts, than an answer of a store.
    :raises TimeoutError: it takes too long.
    """
    body = http_answers.content(raw, seconds, LONGEST)
    # No answer has a document type: its entities repeat a text as often as they like. An
    # encoding that hides its begin has zero bytes.
    if b"<!DOCTYPE" in body or b"\0" in body:
        raise AnswerRefused("it is no answer of an object store")
    if sum(map(body.count, (b"<", b"[", b"{"))) > ELEMENTS:
        raise AnswerRefused(f"it has more than {ELEMENTS} elements")
    return body
