# SPDX-License-Identifier: Apache-2.0
"""``holdfast-backup`` of a host whose clock the rig can set."""

from __future__ import annotations

from tests.faults.outages import clock  # first: it keeps eventlet out of the process

from worker.cmd import backup  # isort: skip

if __name__ == "__main__":
    clock.install()
    backup.main()
