# SPDX-License-Identifier: Apache-2.0
"""Downloads that continue where their connection broke.

Glance sends a part of an image where its store can read one (``Range``). Otherwise it is asked for
all of it once more, and the begin is skipped. An image that is another one by then ends the
download.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping

from drivers.image.glance_client.answer import GlanceAnswer, GlanceRefused
from drivers.image.glance_client.time_limits import MinimumRate, TooSlow
from drivers.interface.errors import ImageCopyFailure, ImageError

LOG = logging.getLogger(__name__)

Ask = Callable[[Mapping[str, str]], GlanceAnswer]
"""Requests the data with further headers, and repeats that where no server answers."""

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class ContinuedDownload:
    """The data of one image.

    :param label: names the image.
    :param rate: at which it has to come.
    :param attempts: how often in succession it is continued without new data.
    """

    def __init__(self, label: str, ask: Ask, rate: MinimumRate, attempts: int) -> None:
        self._label = label
        self._ask = ask
        self._rate = rate
        self._attempts = attempts
        self._done = 0
        self._seen: dict[str, int | str] = {}

    def chunks(self) -> Iterator[bytes]:
        """Yield the data from its first byte to its last.

        :raises TooSlow: it comes at less than its rate.
        :raises ImageError: Glance refuses the rest, or it has another image by now.
        :raises Exception: of a library: the connection broke too often.
        """
        answer, failures = self._ask({}), 0
        self._require_same(answer)
        while True:
            before = self._done
            try:
                with answer:
                    yield from self._rest(answer)
                return
            except (TooSlow, ImageError):
                raise
            except Exception as error:
                failures = 1 if self._done > before else failures + 1
                if failures > self._attempts:
                    raise
                text = "%s broke off after %d bytes, and is continued there: %s: %s"
                LOG.warning(text, self._label, self._done, type(error).__name__, error)
            answer = self._continued()

    def _rest(self, answer: GlanceAnswer) -> Iterator[bytes]:
        """Yield the data that is not there yet."""
        begin = _begin(answer)
        if begin is None or begin not in (0, self._done):
            text = f"Glance sent {self._label} from byte {begin} on, not {self._done}"
            raise ImageCopyFailure(text)
        skipped = self._done - begin
        for chunk in answer.data(self._rate):
            left, skipped = chunk[skipped:], max(0, skipped - len(chunk))
            if left:
                self._done += len(left)
                yield left

    def _continued(self) -> GlanceAnswer:
        if not self._done:
            return self._ask({})
        try:
            answer = self._ask({"Range": f"bytes={self._done}-"})
        except GlanceRefused as error:
            LOG.info("%s is read from its begin, no part of it is sent: %s", self._label, error)
            answer = self._ask({})
        try:
            self._require_same(answer)
        except ImageError:
            with answer:
                raise
        return answer

    def _require_same(self, answer: GlanceAnswer) -> None:
        """Require the size and the hash of the first answer, as far as both are known."""
        found = {"size": _total(answer), "MD5": answer.header("Content-MD5") or None}
        for name, value in found.items():
            known = self._seen.get(name)
            if None not in (known, value) and known != value:
                text = f"has changed during its download: {name} {value}, not {known}"
                raise ImageCopyFailure(f"{self._label} {text}")
        self._seen |= {name: value for name, value in found.items() if value is not None}


def _begin(answer: GlanceAnswer) -> int | None:
    """Return the place of the first byte of an answer; None where it is not known."""
    if not answer.is_part:
        return 0
    found = _RANGE.fullmatch(answer.header("Content-Range"))
    return int(found[1]) if found else None


def _total(answer: GlanceAnswer) -> int | None:
    """Return the size of the whole image; None where the answer does not have it."""
    if found := _RANGE.fullmatch(answer.header("Content-Range")):
        return None if found[2] == "*" else int(found[2])
    length = answer.header("Content-Length")
    return int(length) if length.isdecimal() else None
