# SPDX-License-Identifier: Apache-2.0
"""Backends whose driver is called only while the operation has its locks, or never again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flows.errors import DriverNotInitialized, FlowError
from flows.protocols.backends import Backend


class BackendWithLocks:
    """A backend whose driver is called only while the locks of the operation are held.

    :param require: returns when they are. :raises LocksLost: they were given up.
    """

    def __init__(self, backend: Any, require: Callable[[], None]) -> None:
        self._backend = backend
        self._require = require

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def require_driver(self) -> Any:
        """Return the driver. :raises DriverNotInitialized: it is not up."""
        return _DriverWithLocks(self._backend.require_driver(), self._require)

    def driver_for(self, request: Any, backup: Any) -> Any:
        """Return the driver of a backup service for one request."""
        return _DriverWithLocks(self._backend.driver_for(request, backup), self._require)

    def any_driver(self) -> Any:
        """Return the driver, even if it is not up."""
        return _DriverWithLocks(self._backend.any_driver(), self._require)


class _DriverWithLocks:
    """A driver each of whose calls begins while the locks of the operation are held."""

    def __init__(self, driver: Any, require: Callable[[], None]) -> None:
        self._driver = driver
        self._require = require

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._require()
            return found(*args, **kwargs)

        return call


class BackendWithoutDriver:
    """A backend whose driver is not called any more."""

    def __init__(self, backend: Backend, reason: FlowError | None) -> None:
        self._backend = backend
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def require_driver(self) -> Any:
        """Refuse. :raises DriverNotInitialized: always."""
        raise DriverNotInitialized(str(self._reason))

    def driver_for(self, request: Any, backup: Any) -> Any:
        """Refuse. :raises DriverNotInitialized: always."""
        return self.require_driver()
