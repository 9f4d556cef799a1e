# SPDX-License-Identifier: Apache-2.0
"""Expressions of PromQL that name metrics by their definitions, so that no name can be wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

from worker.metrics import definitions
from worker.metrics.definitions import METRICS, Metric

_NAME = re.compile(r"\bholdfast_\w+")
_SUFFIXES = ("_bucket", "_sum", "_count")


def expression(text: str) -> str:
    """Put names of metrics into an expression: ``{RUNNING}`` becomes that of the definition.

    Braces of PromQL are doubled.
    """
    names = {key: one.name for key, one in vars(definitions).items() if isinstance(one, Metric)}
    return text.format(**names)


def unknown(text: str) -> Iterator[str]:
    """Yield the names in an expression that no metric has."""
    for name in _NAME.findall(text):
        if name not in METRICS and not _is_part(name):
            yield name


def _is_part(name: str) -> bool:
    """Return whether a name is that of a part of a histogram."""
    for suffix in _SUFFIXES:
        metric = METRICS.get(name.removesuffix(suffix))
        if name.endswith(suffix) and metric is not None and metric.kind == "histogram":
            return True
    return False
