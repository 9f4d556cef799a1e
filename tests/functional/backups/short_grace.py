# SPDX-License-Identifier: Apache-2.0
"""The backup service, which ends orphaned backups of other services at once."""

from __future__ import annotations

import sys

from worker.cmd import backup  # first: it keeps eventlet out of the process
from worker.recovery import orphaned_backups

if __name__ == "__main__":
    orphaned_backups.GRACE = 1.0  # type: ignore[misc]
    backup.main(sys.argv[1:])
