# SPDX-License-Identifier: Apache-2.0
"""Messages that the broker delivered and that are not acknowledged, and their size."""

from __future__ import annotations

import itertools
import logging
import zlib
from collections.abc import Callable, Collection
from typing import Any, Protocol

LOG = logging.getLogger(__name__)

SAMPLES = 16
"""Messages that are compressed to learn the size of all; each takes 60 us."""

_FAST = 1


class Channels(Protocol):
    """The listener that received messages."""

    outstanding: set[Delivery]

    def is_current(self, channel: Any, generation: int) -> bool:
        """Return whether messages of a channel can still be acknowledged."""

    def run_soon(self, work: Callable[[], None]) -> None:
        """Run work on the thread of the connection."""


class Delivery:
    """A message that the broker delivered and that is not acknowledged yet.

    :param raw: the message of the AMQP library.
    :param generation: of the channel that delivered it.
    """

    def __init__(self, listener: Channels, raw: Any, generation: int) -> None:
        self._listener = listener
        self._raw = raw
        self.generation = generation
        self.size = len(getattr(raw, "body", None) or b"")

    def packed_size(self) -> int:
        """Compress its body; return the bytes, or 0 where it is no text or was compressed."""
        body = getattr(self._raw, "body", None)
        if not isinstance(body, str):
            return 0
        return len(zlib.compress(body.encode(errors="surrogatepass"), _FAST))

    @property
    def returns(self) -> int:
        """How often the message went back to its queue; only a quorum queue counts that."""
        count = (getattr(self._raw, "headers", None) or {}).get("x-delivery-count")
        return count if isinstance(count, int) else 0

    @property
    def redelivered(self) -> bool:
        """Whether the broker says that it delivered the message before, to any consumer."""
        return bool((getattr(self._raw, "delivery_info", None) or {}).get("redelivered"))

    @property
    def lost(self) -> bool:
        """Whether its channel is closed: the broker delivers the message again."""
        return not self._listener.is_current(self._raw.channel, self.generation)

    def acknowledge(self) -> None:
        """Acknowledge the message soon, on the thread of the connection; never waits."""
        self._listener.run_soon(self._acknowledge)

    def _acknowledge(self) -> None:
        self._listener.outstanding.discard(self)
        if self.lost:  # the tag may be another message's by now
            LOG.info("a message is not acknowledged on a closed channel, it may come again")
            return
        try:
            self._raw.ack()
        except Exception as error:  # noqa: BLE001 - redelivered, and recognised by its id
            LOG.info("acknowledging a message failed, it may come again: %s", error)


def size_of(found: Collection[Delivery], count: int, enough: float) -> float:
    """Return about how many bytes so many messages need, compressed, by some of them.

    :param enough: a size that they may have without compression.
    """
    size = sum(one.size for one in found) / len(found) * count
    if size <= enough:
        return size
    sizes = [(one.size, one.packed_size()) for one in itertools.islice(found, SAMPLES)]
    known = [(full, packed) for full, packed in sizes if packed]
    packed = sum(packed for _full, packed in known) / max(1, sum(full for full, _ in known))
    return size * (packed or 1)
