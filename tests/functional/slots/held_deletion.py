# SPDX-License-Identifier: Apache-2.0
"""``holdfast-backup`` whose deletions stop in the middle while a file ``hold`` is there."""

from __future__ import annotations

import sys
import time
from typing import Any

from worker.cmd import backup  # first: it keeps eventlet out of the process

from drivers.backup.stores.directory_store import DirectoryStore  # isort: skip

_delete = DirectoryStore.delete


def _held(store: Any, container: str, name: str) -> None:
    while name.endswith("-00003") and (store.root.parent / "hold").exists():
        time.sleep(0.1)
    _delete(store, container, name)


DirectoryStore.delete = _held  # type: ignore[method-assign]

if __name__ == "__main__":
    backup.main(sys.argv[1:])
