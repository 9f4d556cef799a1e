# SPDX-License-Identifier: Apache-2.0
"""Files of databases in SQLite: whether this process may use them, and who may.

SQLite says "unable to open database file" or "attempt to write a readonly database" for a file of
another user. Such a file is often made by a command that root ran.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

_BESIDE = ("", "-wal", "-shm")
"""Suffixes of the files of a database; SQLite makes the last two while it is in use."""

ROOT = 0
"""The user whose files no service can write."""


def unwritable(path: Path) -> str:
    """Return why this process cannot write to a database, or ""."""
    for name in (f"{path}{suffix}" for suffix in _BESIDE):
        try:
            found = os.stat(name)
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{name} cannot be reached by user {us()}: {error.strerror}"
        if not os.access(name, os.R_OK | os.W_OK, effective_ids=True):
            owner, mode = user_of(found.st_uid), found.st_mode & 0o777
            advice = f"chown {us()}: {path}*"
            return f"user {us()} cannot write {name} of user {owner}, mode {mode:o}: {advice}"
    return ""


def unreadable(path: Path) -> str:
    """Return why this process cannot read a database, or ""; "" also for one that is not there."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f"{path} cannot be read by user {us()}: {error.strerror}"
    if not os.access(path, os.R_OK, effective_ids=True):
        owner, mode = user_of(found.st_uid), found.st_mode & 0o777
        return f"{path} of user {owner}, mode {mode:o}, cannot be read by user {us()}"
    return ""


def owner_instead_of_root(path: Path) -> str:
    """Return the user to whom a new file should belong, where root would make it; else ""."""
    try:
        owner = os.stat(path.parent).st_uid
    except OSError:
        return ""
    return user_of(owner) if os.geteuid() == ROOT != owner and not path.exists() else ""


def us() -> str:
    """Return the name of the user of this process."""
    return user_of(os.geteuid())


def user_of(number: int) -> str:
    """Return the name of a user; the number where there is none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
