# SPDX-License-Identifier: Apache-2.0
"""Names of this process and of its instance: one state path on one booted machine.

Processes of one instance exclude each other by the lock files in the state path. So a process
that holds the lock of a slot knows that a former owner of the same instance has ended.
"""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

from worker.journal.slots.ownership import Holder

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_FILE = "instance"


def holder_of(state_path: str) -> Holder:
    """Return the names of this process, in a new life."""
    return Holder(uuid.uuid4().hex, instance_of(state_path), socket.gethostname(), os.getpid())


def instance_of(state_path: str) -> str:
    """Return the name of a state path since the last boot of the machine."""
    return f"{_BOOT.read_text().strip()}/{_identifier(Path(state_path) / _FILE)}"


def _identifier(file: Path) -> str:
    """Return the content of a file, which is made once; processes may start together."""
    if not file.exists():
        part = file.with_name(f"{file.name}.{os.getpid()}")
        part.write_text(uuid.uuid4().hex)
        try:
            os.link(part, file)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return file.read_text().strip()
