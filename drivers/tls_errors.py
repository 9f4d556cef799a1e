# SPDX-License-Identifier: Apache-2.0
"""Recognise the refusal of a server's certificate in the errors of libraries.

Each library wraps OpenSSL's words in its own, several lines long. An operator needs the reason
and the option to look at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_REASON = re.compile(
    r"certificate verify failed(?:: (?P<openssl>[^\n]+?))?(?= *\(_ssl|\n|$)"
    r"|(?P<libpq>server certificate for [^\n]+ does not match host name \"[^\"]+\")"
    r"|(?P<urllib3>hostname '[^']+' doesn't match [^\n)]+)"
    r"|(?P<crl>CRL[^\n(]* (?:expired|invalid|unable)[^\n(]*)",
    re.IGNORECASE,
)

_DEEPEST = 10


def refusal(error: BaseException | str, options: str) -> str | None:
    """Return why a certificate is refused, and where to look; None for another error.

    :param options: the options that name the authority of the server.
    """
    texts = [error] if isinstance(error, str) else _texts(error)
    for text in texts:
        if found := _REASON.search(text):
            reason = next((part for part in found.groups() if part), "not verified")
            why = " ".join(reason.split()).rstrip(".,")
            return f"the certificate of the server is refused: {why}; check it, and {options}"
    return None


def _texts(error: BaseException) -> Iterator[str]:
    """Yield the texts of an error and of its causes."""
    link: BaseException | None = error
    for _ in range(_DEEPEST):
        if link is None:
            return
        yield str(link)
        link = link.__cause__ or link.__context__
