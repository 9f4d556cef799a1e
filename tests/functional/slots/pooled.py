# SPDX-License-Identifier: Apache-2.0
"""``holdfast-volume`` as a host of a cluster, without locks between the hosts."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from worker.cmd import volume as command
from worker.compat import libc
from worker.service import volume

POOL = "shared@b1"

WITHOUT_TIMER = "HOLDFAST_TEST_WITHOUT_TIMER"
"""Variable that leaves the fence alone, to see that it holds by itself."""

_identity = volume._identity


def _pooled(*args: Any) -> Any:
    return dataclasses.replace(_identity(*args), cluster=POOL)


if __name__ == "__main__":
    volume._identity = _pooled  # type: ignore[assignment]
    if os.environ.get(WITHOUT_TIMER):
        libc.KillTimer.arm = lambda _timer, _deadline: None  # type: ignore[method-assign]
    command.main(sys.argv[1:])
