# SPDX-License-Identifier: Apache-2.0
"""The volume service, which counts as ready a second after its start without the bus."""

from __future__ import annotations

import sys

from worker.cmd import volume  # first: it keeps eventlet out of the process
from worker.service import start_stop

if __name__ == "__main__":
    start_stop.BUS_WAIT = 1.0
    volume.main(sys.argv[1:])
