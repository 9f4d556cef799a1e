# SPDX-License-Identifier: Apache-2.0
"""The backup service, which looks at what others left at once."""

from __future__ import annotations

import sys

from worker.cmd import backup  # first: it keeps eventlet out of the process
from worker.services import leftovers

if __name__ == "__main__":
    leftovers.GRACE = 1.0  # type: ignore[misc]
    backup.main(sys.argv[1:])
