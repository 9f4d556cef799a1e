# SPDX-License-Identifier: Apache-2.0
"""``holdfast-volume`` of a host: the rig sets its clock, and its history has its epochs."""

from __future__ import annotations

from tests.faults.outages import clock  # first: it keeps eventlet out of the process

from tests.cluster.rig import epochs  # isort: skip
from worker.cmd import volume  # isort: skip

if __name__ == "__main__":
    clock.install()
    epochs.install()
    volume.main()
