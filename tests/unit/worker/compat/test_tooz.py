# SPDX-License-Identifier: Apache-2.0
"""The private parts of tooz are as ``worker.compat`` uses them."""

from __future__ import annotations

import os
from pathlib import Path

from tooz import coordination

from worker.compat import tooz as compat


def test_the_descriptor_of_a_held_lock_is_that_of_its_file(tmp_path: Path) -> None:
    coordinator = coordination.get_coordinator(f"file://{tmp_path}", b"member")
    coordinator.start()
    lock = coordinator.get_lock(b"name")
    assert lock.acquire()

    found = os.fstat(compat.descriptor(lock))

    assert os.path.samestat(found, os.stat(tmp_path / "name"))
    lock.release()
    coordinator.stop()
