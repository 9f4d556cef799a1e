# SPDX-License-Identifier: Apache-2.0
"""The volume or backup service, which ends orphaned resources as soon as no cast can wait."""

from __future__ import annotations

import os
import sys

from worker.cmd import backup, volume  # first: they keep eventlet out of the process
from worker.recovery import orphaned_backups, orphaned_volumes, proof_wait

if __name__ == "__main__":
    orphaned_volumes.GRACE = orphaned_backups.GRACE = 1.0  # type: ignore[misc]
    proof_wait.PAUSE = 0.5  # type: ignore[misc]
    service = backup if os.environ.get("HOLDFAST_SERVICE") == "backup" else volume
    service.main(sys.argv[1:])
