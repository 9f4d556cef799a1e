# SPDX-License-Identifier: Apache-2.0
"""Private parts of tooz: the file of a lock of its file driver, the client of its Redis driver."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Iterator
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


@contextlib.contextmanager
def without_retries(coordinator: Any) -> Iterator[None]:
    """Have a client of Redis that is made in the block fail at its first error meanwhile.

    It repeats a refused handshake for two minutes otherwise, before any line is logged.
    """
    make = getattr(coordinator, "_make_client", None)
    if make is None:
        yield
        return
    made = []

    def make_impatient(*args: Any, **how: Any) -> Any:
        client = make(*args, **how)
        retry = client.get_retry()
        impatient = copy.copy(retry)
        impatient.update_retries(0)
        client.set_retry(impatient)
        made.append((client, retry))
        return client

    coordinator._make_client = make_impatient
    try:
        yield
    finally:
        del coordinator._make_client
        for client, retry in made:
            client.set_retry(retry)
