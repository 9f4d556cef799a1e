# SPDX-License-Identifier: Apache-2.0
"""The volume service, which ends orphaned resources a few seconds after its start."""

from __future__ import annotations

import sys

from worker.cmd import volume  # first: it keeps eventlet out of the process
from worker.recovery import orphaned_volumes

if __name__ == "__main__":
    # Messages that wait on the bus are taken in this time, on a busy machine as well.
    orphaned_volumes.GRACE = 10.0  # type: ignore[misc]
    volume.main(sys.argv[1:])
