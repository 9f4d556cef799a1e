# SPDX-License-Identifier: Apache-2.0
"""Answers of Glance: refusals, records of images, and their data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from oslo_utils import units

from drivers import http_answers
from drivers.image.glance_client.time_limits import MinimumRate
from drivers.interface.errors import (
    ImageCopyFailure,
    ImageError,
    ImageLimitExceeded,
    ImageNotFound,
)

CHUNK = units.Mi
"""Bytes of an image that are passed on at a time."""

_GONE = (403, 404, 410)
_NO_DATA, _PART = 204, 206
_TOO_MUCH = 413
_NOT_FINAL = (401, 408, 425, 429)
"""Refusals that another attempt may not meet."""


class GlanceRefused(ImageCopyFailure):
    """A refusal that every further attempt would meet."""


class GlanceAnswer:
    """One answer, whose body is not read yet.

    :param response: of requests.
    :param label: names the image in errors.
    :param server: the address of the API.
    :param timeout: seconds in which a body that is no image's data has to come.
    """

    def __init__(self, response: Any, label: str, server: str, timeout: float) -> None:
        self._response = response
        self._label = label
        self._server = server
        self._timeout = timeout

    def __enter__(self) -> GlanceAnswer:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    @property
    def status(self) -> int:
        """The status of HTTP."""
        return int(self._response.status_code)

    @property
    def is_part(self) -> bool:
        """Whether the body is a part of the data."""
        return self.status == _PART

    def header(self, name: str) -> str:
        """Return a header; an empty text where there is none."""
        return str(self._response.headers.get(name, ""))

    @property
    def is_absence(self) -> bool:
        """Whether there is no such image, as far as this account may know."""
        return self._response.status_code in _GONE

    def check(self) -> None:
        """Raise the error of a refusal.

        :raises ImageNotFound: there is no such image for this account.
        :raises ImageLimitExceeded: it is larger than Glance allows.
        :raises ImageCopyFailure: any other refusal; it has the begin of Glance's text.
        """
        if self.is_absence:
            text = f"has no {self._label} for us: {self.status}"
            raise ImageNotFound(f"Glance at {self._server} {text}")
        self.check_allowed()

    def check_allowed(self) -> None:
        """Raise the error of a refusal, also of one for want of a role.

        :raises ImageLimitExceeded: it is larger than Glance allows.
        :raises GlanceRefused: a refusal that stays; it has the begin of Glance's text.
        :raises ImageCopyFailure: any other one, likewise.
        """
        code = self.status
        if code < 300:
            return
        text = " ".join(self._content().decode(errors="replace").split())
        kind: type[ImageError] = ImageCopyFailure
        if code == _TOO_MUCH:
            kind = ImageLimitExceeded
        elif 400 <= code < 500 and code not in _NOT_FINAL:
            kind = GlanceRefused
        raise kind(f"Glance at {self._server} refused {self._label}: {code} {text:.200}")

    def record(self) -> dict[str, Any]:
        """Return the record of an image. :raises ImageCopyFailure: the answer has none."""
        known = self.content()
        if not isinstance(known, dict):
            raise ImageCopyFailure(f"Glance has no record of {self._label}: {known!r:.80}")
        return known

    def content(self) -> Any:
        """Return a body of JSON. :raises ImageCopyFailure: it is none."""
        try:
            return json.loads(self._content())
        except (ValueError, RecursionError) as error:
            text = f"Glance at {self._server} has no record of {self._label}: {error}"
            raise ImageCopyFailure(f"{text}; look at the address") from error

    def require_data(self) -> None:
        """Check that the image has data. :raises ImageNotFound: it has none."""
        if self._response.status_code == _NO_DATA:
            raise ImageNotFound(f"{self._label} has no data")

    def data(self, rate: MinimumRate) -> Iterator[bytes]:
        """Yield the data of an image. :raises TimeoutError: it comes too slowly."""
        yield from http_answers.read(self._response.raw, CHUNK, rate.waited)

    def _content(self) -> bytes:
        """Return a body. :raises ImageCopyFailure: it has no end."""
        try:
            return http_answers.content(self._response.raw, self._timeout)
        except http_answers.AnswerTooLong as error:
            raise ImageCopyFailure(f"the answer of Glance is no record: {error}") from error
