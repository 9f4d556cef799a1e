# SPDX-License-Identifier: Apache-2.0
"""``holdfast-volume`` whose clock can be set while it runs.

The file ``HOLDFAST_CLOCK`` has the seconds that are added to the time of day. The
monotonic clock, as on a real machine, does not jump.
"""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

from worker.cmd import volume  # first: it keeps eventlet out of the process

from oslo_utils import timeutils  # isort: skip

VARIABLE = "HOLDFAST_CLOCK"

_OFFSET = Path(os.environ.get(VARIABLE, "/dev/null"))
_time, _utcnow = time.time, timeutils.utcnow


def _offset() -> float:
    return float(_OFFSET.read_text() or 0)


def _utcnow_moved(with_timezone: bool = False) -> datetime.datetime:
    return _utcnow(with_timezone) + datetime.timedelta(seconds=_offset())


def install() -> None:
    """Have this process read the time of day with the file's seconds added."""
    time.time = lambda: _time() + _offset()
    timeutils.utcnow = _utcnow_moved


if __name__ == "__main__":
    install()
    volume.main()
