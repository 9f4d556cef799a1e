# SPDX-License-Identifier: Apache-2.0
"""The volume service, which counts as ready after another time without the bus."""

from __future__ import annotations

import os
import sys

from worker.cmd import volume  # first: it keeps eventlet out of the process
from worker.service import start_stop

SECONDS = "BUS_WAIT"
"""Names the time in the environment."""

if __name__ == "__main__":
    start_stop.BUS_WAIT = float(os.environ[SECONDS])
    volume.main(sys.argv[1:])
