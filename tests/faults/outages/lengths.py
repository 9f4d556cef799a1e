# SPDX-License-Identifier: Apache-2.0
"""How long outages last, in seconds."""

from __future__ import annotations

import pytest

QUICK, SHORT, LONG = 2.0, 10.0, 60.0


def _length(seconds: float) -> object:
    marks = [] if seconds == QUICK else [pytest.mark.full, pytest.mark.timeout(600)]
    return pytest.param(seconds, marks=marks, id=f"{seconds:.0f}s")


LENGTHS = [_length(seconds) for seconds in (QUICK, SHORT, LONG)]
"""For parametrize; all but the first belong to the full run."""
