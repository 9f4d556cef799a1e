# SPDX-License-Identifier: Apache-2.0
"""Filter and goodness functions that the scheduler evaluates in bounded time and memory.

Cinder's evaluator has integers and texts of any size. ``9 ^ 99999999`` occupies the scheduler
for minutes, and so does a text that is multiplied: ``stats.free_capacity_gb * 1073741824`` is a
text of 8 GiB where the free capacity is ``infinite``. So products and powers are calculated with
floating-point numbers: these overflow with an error, and a text times one is an error, both of
which the scheduler survives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.backends.reports.report_values import Unusable

MAX_LENGTH = 1024
"""Longest expression, in characters; the scheduler takes about half a second for it."""

MAX_TOTAL = 64 * MAX_LENGTH
"""Characters of the expressions of all pools, which the scheduler evaluates for each volume."""

FUNCTIONS = ("filter_function", "goodness_function")
"""Fields of pools that are expressions. A pool without one has that of its backend."""

_NUMBER = re.compile(r"\d+(\.\d+)?")
_QUOTED = re.compile(r"""('[^'\n\r]*'|"[^"\n\r]*")""")

_EXPONENT = re.compile(r"\^\s*([0-9]+(?:\.[0-9]+)?|[A-Za-z_.]+)(?![\s]*[\w.(^])")
"""The last exponent of a power, if it is a number or a variable."""

_BASE = re.compile(r"\^\s*(?:[0-9]+(?:\.[0-9]+)?|[A-Za-z_.]+)\s*(?=\^)")
"""An exponent that is the base of another power."""


def bounded(expression: str) -> str:
    """Return an expression of the same value that ends soon, whatever its variables are.

    :raises Unusable: it is too long, or its parts cannot be distinguished.
    """
    if len(expression) > MAX_LENGTH:
        raise Unusable(f"is longer than {MAX_LENGTH} characters")
    if "\\" in expression:
        raise Unusable("has a backslash")
    parts = _QUOTED.split(expression)
    return "".join(part if at % 2 else _in_floats(part) for at, part in enumerate(parts))


def rating(expression: str) -> str:
    """Return a goodness function whose value is a number, or that fails while it is evaluated.

    The weigher survives expressions that fail. It compares their value with 0 and 100, without
    a guard, and the value may be a text such as ``infinite``.

    :raises Unusable: its parentheses are unbalanced.
    """
    if _NUMBER.fullmatch(expression.strip()):
        return expression
    depth = 0
    for character in _QUOTED.sub("", expression):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
    if depth:
        raise Unusable("has unbalanced parentheses")
    return f"max(0, {expression})"


def total(report: Mapping[str, object], field: str) -> int:
    """Return the characters of a function that the scheduler evaluates for one volume."""
    pools = report.get("pools")
    if not isinstance(pools, list):
        pools = [report]
    return sum(len(str(pool.get(field) or report.get(field) or "")) for pool in pools)


def _in_floats(part: str) -> str:
    """Multiply by a floating-point number, and raise to the power of one.

    Powers bind to the right, so that the last exponent of several makes all of them floats.
    """
    if "^" in _EXPONENT.sub("", _BASE.sub("", part)):
        raise Unusable("has an exponent that is neither a number nor a variable")
    return _EXPONENT.sub(r"\g<0> ^ 1.0", part).replace("*", "* 1.0 *")
