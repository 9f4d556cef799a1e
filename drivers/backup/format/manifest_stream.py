# SPDX-License-Identifier: Apache-2.0
"""Parse ``P_metadata`` part by part: an object in its list is complete as soon as its text is.

So the text is never in memory as a whole, and a list with too many objects, or with text
that never ends, is refused when its limit is reached.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from itertools import islice
from typing import Any

from oslo_utils import units

from drivers.backup.format.bounds import Bounds
from drivers.backup.format.layout import StoredObject
from drivers.backup.format.object_list import ObjectList
from drivers.interface.errors import BackupDamaged

NO_SEAL = b"0" * 64
SEAL_BEGIN = b'\n  "seal": "'

_SEAL = re.compile(SEAL_BEGIN + rb'([0-9a-f]{64})"')
"""No text in JSON contains a line feed, so only the seal itself has this form."""

_LIST = re.compile(r'"objects"\s*:\s*\[')
"""No text in JSON contains a quotation mark, so only a key has this form."""

_SPACE = re.compile(r"[ \t\r\n]*")

_AROUND = 16 * units.Mi
"""Most characters before the list, and behind it: the volume's metadata is there."""

_ENTRY = 64 * units.Ki
"""Most characters of an object."""

_USUAL_ENTRY = 4096
"""Most bytes of an object, on an average."""

_decode = json.JSONDecoder().raw_decode


class ManifestStream:
    """The text of one backup's metadata, as it comes.

    :param label: the object's name in the text of an error.
    :param objects: gets the objects; it is empty.
    """

    def __init__(self, label: str, bounds: Bounds, objects: ObjectList) -> None:
        self._label = label
        self._objects = objects
        self._bounds = bounds
        self.max_size = 2 * _AROUND + bounds.objects * _USUAL_ENTRY
        """Bytes that the metadata may have, with all white space."""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._head = ""
        self._text = ""
        self._sealing = hashlib.sha256()
        self._take = self._before
        self._after_comma = False
        self._count = 0
        self.problem: ValueError | None = None
        """The first object that is none; those after it are not kept."""

    def feed(self, part: bytes, *, last: bool = False) -> None:
        """Take the next part. :raises BackupDamaged: it cannot be read."""
        try:
            self._text += self._decoder.decode(part, last)
        except UnicodeDecodeError as error:
            raise self._unreadable(error) from error
        self._take()

    def end(self) -> tuple[Any, str | None]:
        """Return the document with an empty list, and its seal if that is right."""
        self.feed(b"", last=True)
        if self._take == self._inside:
            raise self._unreadable("its list of objects does not end")
        try:
            document = json.loads(self._head + self._text)
        except (ValueError, RecursionError) as error:
            raise self._unreadable(error) from error
        return document, self._right_seal()

    def _before(self) -> None:
        found = _LIST.search(self._text)
        if found is None:
            self._require_short()
            return
        self._head, self._text = self._text[: found.end()], self._text[found.end() :]
        self._require_short()
        self._sealing.update(self._head.encode())
        self._take = self._inside
        self._inside()

    def _inside(self) -> None:
        """Take whole objects out of the list."""
        text, done = self._text, 0
        while self._take == self._inside:
            at = _skipped(text, done)
            if text[at : at + 1] == "]" and not self._after_comma:
                done, self._take = at, self._after
                break
            try:
                entry, end = _decode(text, at)
            except json.JSONDecodeError as error:
                if len(text) - at > _ENTRY:
                    raise self._unreadable(error) from error
                break
            except (ValueError, RecursionError) as error:
                raise self._unreadable(error) from error
            end = _skipped(text, end)
            if end == len(text):
                break
            self._add(entry)
            if text[end] not in ",]":
                raise self._unreadable("no comma follows an object")
            self._after_comma = text[end] == ","
            done = end + self._after_comma
        self._sealing.update(text[:done].encode())
        self._text = text[done:].lstrip(" \t\r\n") if self._take == self._inside else text[done:]
        if self._take == self._inside:
            skipped = text[done : len(text) - len(self._text)]
            self._sealing.update(skipped.encode())

    def _after(self) -> None:
        self._require_short()

    def _add(self, entry: Any) -> None:
        self._count += 1
        if self._count > self._bounds.objects:
            raise self._unreadable(f"it lists more than {self._bounds.objects} objects")
        if self.problem is not None:
            return
        try:
            one = StoredObject.from_json(entry)
            if one.end > self._bounds.end:
                raise ValueError(f"object {one.name!r:.120} ends behind the volume, at {one.end}")
            self._objects.add(one)
        except ValueError as error:
            self.problem = error

    def _right_seal(self) -> str | None:
        """Return the seal, if it is the hash of all the rest."""
        tail = self._text.encode()
        found = list(islice(_SEAL.finditer(tail), 2))
        if len(found) != 1 or _SEAL.search(self._head.encode()):
            return None
        begin, end = found[0].span(1)
        for part in (tail[:begin], NO_SEAL, tail[end:]):
            self._sealing.update(part)
        seal = self._sealing.hexdigest()
        return seal if found[0].group(1) == seal.encode() else None

    def _require_short(self) -> None:
        if len(self._text) > _AROUND or len(self._head) > _AROUND:
            raise self._unreadable(f"it has more than {_AROUND} characters besides its objects")

    def _unreadable(self, why: object) -> BackupDamaged:
        return BackupDamaged(f"{self._label} cannot be read: {why}")


def _skipped(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
