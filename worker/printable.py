# SPDX-License-Identifier: Apache-2.0
"""Texts of others in log lines and on terminals: each character shows itself, or an escape.

Names, methods, ids and errors hold whatever a tenant or a driver has written: escape sequences
that a terminal obeys, line breaks that forge log lines, and characters that are invisible or
change the direction of the text.
"""

from __future__ import annotations

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str, *, keep: str = "") -> str:
    """Return a text without control, format, separator and unassigned characters.

    :param keep: characters that stay, as a line break in a cell of a table.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escape(one) for one in text)


def _escape(one: str) -> str:
    return _SHORT.get(one) or one.encode("unicode_escape").decode("ascii")
