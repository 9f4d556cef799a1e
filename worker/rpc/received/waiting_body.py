# SPDX-License-Identifier: Apache-2.0
"""The body of a message that waits for its turn to be decoded.

A decoded message needs ten times the memory of its bytes, and half of the time of its acceptance.
So a cast is decoded when it has its turn. Until then its bytes show the project that sent it, and
the resources that it may name. They are searched as they are, which costs microseconds.
"""

from __future__ import annotations

import re
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from typing import Any

_PROJECT = "_context_project_id"
_FAST = 1
NODES_FEW = 100
"""UUIDs of a message that are kept as texts; a creation of Cinder's API has some thirty. A user may
write thousands into the metadata of a volume."""

_SHORT = 512
"""Characters up to which a compression saves nothing."""

_BEFORE_KEY = re.compile(r'(?<!\\)\\"$')
_VALUE = re.compile(r'\\"\s*:\s*\\"([^"\\]{1,255})')
"""Quotes have one backslash: the message is a text in the envelope of oslo.messaging."""

_NODE = re.compile(r"-([0-9A-Fa-f]{12})(?![0-9A-Fa-f])")
"""The node of a UUID, its last group, by which it is known: the others have less that is random."""


def nodes_of(ids: Iterable[str]) -> Collection[str] | None:
    """Return the nodes of UUIDs, which are looked for in bodies; None where an id has none.

    :param ids: texts with the UUIDs of resources, such as names of their locks.
    """
    found = [_NODE.search(one) for one in ids]
    return None if None in found else {one[1].lower() for one in found if one is not None}


class ManyNodes(Collection[str]):
    """Parts of ids in 8 bytes each, sorted."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._numbers = array("Q", sorted(int(node, 16) for node in nodes))

    def __contains__(self, node: object) -> bool:
        number = int(str(node), 16)
        at = bisect_left(self._numbers, number)
        return at < len(self._numbers) and self._numbers[at] == number

    def __iter__(self) -> Iterator[str]:
        return (f"{number:012x}" for number in self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def size(self) -> int:
        """The bytes of memory that they need."""
        return len(self._numbers) * self._numbers.itemsize


class WaitingBody:
    """The body of one message of the AMQP library, which is text unless its encoding is wrong.

    :param message: its ``body`` is replaced while it is compressed.
    """

    __slots__ = ("_message", "_packed")

    def __init__(self, message: Any) -> None:
        self._message = message
        self._packed: bytes | None = None

    @property
    def size(self) -> int:
        """The bytes of memory that it needs now, about."""
        return len(self._packed if self._packed is not None else self._message.body or "")

    def holds(self, *texts: str) -> bool:
        """Return whether the body has one of some texts; one that is no text has them all."""
        body = self._text()
        return body is None or any(text in body for text in texts)

    def project(self) -> str:
        """Return the project of the request; an empty text where there is none.

        The context follows the arguments, so that the last key of this name is the context's, and
        not one that a user has put into metadata. In a text of a user the quote is escaped.
        """
        body = self._text() or ""
        at = body.rfind(_PROJECT)
        while at >= 0:
            value = _VALUE.match(body, at + len(_PROJECT))
            if value is not None and _BEFORE_KEY.search(body[max(0, at - 3) : at]):
                return value[1]
            at = body.rfind(_PROJECT, 0, at)
        return ""

    def nodes(self) -> Collection[str] | None:
        """Return the nodes of all resources that it may name; None where it is no text.

        As :func:`nodes_of` does for names.
        """
        body = self._text()
        if body is None:
            return None
        found = {node.lower() for node in _NODE.findall(body)}
        return found if len(found) <= NODES_FEW else ManyNodes(found)

    def pack(self) -> None:
        """Compress the body until it is decoded."""
        body = self._message.body
        if isinstance(body, str) and len(body) > _SHORT:
            self._packed = zlib.compress(body.encode(errors="surrogatepass"), _FAST)
            self._message.body = None

    def unpack(self) -> None:
        """Give the message its body back."""
        if self._packed is not None:
            self._message.body, self._packed = self._text(), None

    @property
    def contents(self) -> Any:
        """The body as it is: a text, unless its encoding is wrong."""
        return getattr(self._message, "body", None) if self._packed is None else self._text()

    def _text(self) -> str | None:
        if self._packed is not None:
            return zlib.decompress(self._packed).decode(errors="surrogatepass")
        body = getattr(self._message, "body", None)
        return body if isinstance(body, str) else None
