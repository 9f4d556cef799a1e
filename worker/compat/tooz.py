# SPDX-License-Identifier: Apache-2.0
"""Private parts of tooz: the file of a lock of its file driver, the client of its Redis driver."""

from __future__ import annotations

import copy
import sys
from typing import Any

from tooz import ToozError, coordination


def descriptor(lock: Any) -> int:
    """Return the file descriptor of a file lock that is held."""
    number: int = lock._lock.lockfile.fileno()
    return number


def errors_of_a_start() -> tuple[type[Exception], ...]:
    """Return the errors that mean that a server does not answer: tooz passes on those of etcd."""
    found: list[type[Exception]] = [coordination.ToozConnectionError, ToozError]
    etcd = sys.modules.get("etcd3gw.exceptions")
    return (*found, etcd.Etcd3Exception) if etcd is not None else tuple(found)


def lifetime_of(coordinator: Any) -> float | None:
    """Return the seconds for which a server keeps a lock that is not renewed.

    :returns: None where a lock lasts as long as its process or its session.
    """
    found = getattr(coordinator, "lock_timeout", None)
    renewed = hasattr(coordinator, "_acquired_locks")
    return float(found) if found is not None and renewed else None


def renew(lock: Any) -> bool:
    """Renew a lock; return whether it was still held. tooz drops the answer of etcd.

    :raises Exception: one of :func:`errors_of_a_start`: the server does not answer.
    """
    if (lease := getattr(lock, "_lease", None)) is not None:
        return bool(lease.refresh() > 0)
    try:
        return bool(lock.heartbeat())
    except ToozError as error:
        kinds = {kind.__name__ for kind in type(error.cause or error.__cause__).__mro__}
        if "LockError" in kinds:  # the key is gone, or another process has it
            return False
        raise


def forget(coordinator: Any, lock: Any) -> None:
    """Take a lock that was lost off the list of those that a stop releases."""
    coordinator._acquired_locks.discard(lock)


def fail_at_once(coordinator: Any) -> None:
    """Have the client of Redis that a coordinator will make report its first errors.

    It repeats a request ten times otherwise, for up to a minute, and tooz fifteen times: an
    outage is known only then. tooz's own attempts follow each other at once, and the second one
    repairs a connection that broke while it was idle.
    """
    make = getattr(coordinator, "_make_client", None)
    if make is None:
        return

    def make_with_timeout(*args: Any, **how: Any) -> Any:
        client = make(*args, **how)
        retry = copy.copy(client.get_retry())
        retry.update_retries(0)
        client.set_retry(retry)
        return client

    coordinator._make_client = make_with_timeout
