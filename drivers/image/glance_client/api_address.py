# SPDX-License-Identifier: Apache-2.0
"""Addresses of Glance's API, as operators and catalogues write them.

The address of version 2 is derived from the text. No server is asked for its versions: a proxy
may pass nothing but ``/v2``, and a document of versions may have no links.
"""

from __future__ import annotations

import re

_SCHEME = "http://"
"""Of an address that has none, as for Cinder."""

_VERSION = re.compile(r"(?<!/)/v\d+(\.\d+)?$", re.IGNORECASE)
_API = "/v2"


def of(text: str) -> str:
    """Return the address of version 2, with any path before the version, without a slash.

    :param text: as ``controller:9292``, ``http://controller:9292/v2`` or ``https://cloud/image``.
    """
    address = text.strip().rstrip("/")
    if "//" not in address:
        address = f"{_SCHEME}{address}"
    return _VERSION.sub("", address).rstrip("/") + _API
