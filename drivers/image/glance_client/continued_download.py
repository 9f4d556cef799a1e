# SPDX-License-Identifier: Apache-2.0
"""Downloads that continue where their connection broke.

Glance sends a part of an image where its store can read one (``Range``). Otherwise it is asked for
all of it once more, and the begin is skipped. An image that is another one by then ends the
download, as far as the answers show that; in the end its hash does, and an image without any hash
is not continued. An answer that has less than all of the rest, as of a proxy, is continued, too.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping

from drivers.image.glance_client.answer import CHUNK, GlanceAnswer, GlanceRefused
from drivers.image.glance_client.time_limits import MinimumRate, TooSlow
from drivers.interface.errors import ImageCopyFailure, ImageError

LOG = logging.getLogger(__name__)

Ask = Callable[[Mapping[str, str]], GlanceAnswer]
"""Requests the data with further headers, and repeats that where no server answers."""

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

_PLAIN = ("", "identity")


class AnswerEndedEarly(Exception):
    """An answer ended before the data did."""


class ContinuedDownload:
    """The data of one image.

    :param label: names the image.
    :param rate: at which it has to come.
    :param attempts: how often in succession it is continued without much new data.
    :param has_hash: asks whether a hash of the image is known; only then it is continued.
    """

    def __init__(
        self,
        label: str,
        ask: Ask,
        rate: MinimumRate,
        attempts: int,
        has_hash: Callable[[], bool],
    ) -> None:
        self._label = label
        self._ask = ask
        self._rate = rate
        self._attempts = attempts
        self._has_hash = has_hash
        self._done = 0
        self._in_parts = True
        self._seen: dict[str, int | str] = {}

    def chunks(self) -> Iterator[bytes]:
        """Yield the data from its first byte to its last.

        :raises TooSlow: it comes at less than its rate.
        :raises ImageError: Glance refuses the rest, or it has another image by now.
        :raises Exception: of a library: the connection broke too often.
        """
        answer, failures = self._ask({}), 0
        self._in_parts = answer.header("Content-Encoding") in _PLAIN
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
                failures = 1 if self._done >= before + CHUNK else failures + 1
                if failures > self._attempts or (self._done and not self._has_hash()):
                    raise
                text = "%s broke off after %d bytes, and is continued there: %s: %s"
                LOG.warning(text, self._label, self._done, type(error).__name__, error)
            answer = self._continued()

    def _rest(self, answer: GlanceAnswer) -> Iterator[bytes]:
        """Yield the data that is not there yet. :raises AnswerEndedEarly: some is missing still."""
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
        self._require_end(skipped)

    def _require_end(self, skipped: int) -> None:
        """Require that the data has the size that answers had for it.

        :param skipped: bytes that are there, but were not in the last answer.
        """
        size = self._seen.get("size")
        if not isinstance(size, int):
            if skipped:
                raise self._changed(f"it ends {skipped} bytes before the place that was reached")
        elif self._done > size:
            raise self._changed(f"it has more than {size} bytes")
        elif skipped or self._done < size:
            raise AnswerEndedEarly(f"the answer ended before the {size} bytes of the image did")

    def _changed(self, how: str) -> ImageCopyFailure:
        return ImageCopyFailure(f"{self._label} has changed during its download: {how}")

    def _continued(self) -> GlanceAnswer:
        if not self._done or not self._in_parts:
            return self._asked_anew()
        try:
            answer = self._ask({"Range": f"bytes={self._done}-"})
        except GlanceRefused as error:
            LOG.info("%s is read from its begin, no part of it is sent: %s", self._label, error)
            return self._asked_anew()
        return self._same(answer)

    def _asked_anew(self) -> GlanceAnswer:
        return self._same(self._ask({}))

    def _same(self, answer: GlanceAnswer) -> GlanceAnswer:
        """Return an answer of the same image. :raises ImageError: it is of another one."""
        try:
            self._require_same(answer)
        except ImageError:
            with answer:
                raise
        return answer

    def _require_same(self, answer: GlanceAnswer) -> None:
        """Require the size and the marks of the first answer, as far as both are known."""
        found = {
            "size": _total(answer),
            "MD5": answer.header("Content-MD5") or None,
            "ETag": answer.header("ETag") or None,
        }
        for name, value in found.items():
            known = self._seen.get(name)
            if None not in (known, value) and known != value:
                raise self._changed(f"{name} {value}, not {known}")
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
    if answer.header("Content-Encoding") not in _PLAIN:
        return None  # the length is that of the coded data
    length = answer.header("Content-Length")
    return int(length) if length.isdecimal() else None
