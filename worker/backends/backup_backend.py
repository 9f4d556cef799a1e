# SPDX-License-Identifier: Apache-2.0
"""The backup driver of this host: its set-up and its use."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from drivers.interface.backup import BackupDriver
from drivers.interface.records import Record
from flows.errors import DriverNotInitialized
from flows.protocols.request import Request
from worker.backends import driver_setup
from worker.backends.directory_mark import DirectoryGuard, DirectoryMark
from worker.call_log import logged_call
from worker.execution.concurrency import Limiter, blocking
from worker.metrics.outages import OUTAGES

LOG = logging.getLogger(__name__)


class BackupStoreBackend:
    """Implements :class:`flows.protocols.backends.BackupBackend`.

    :param host: the service's host.
    :param zone: its availability zone.
    :param make: builds a driver instance; one for each attempt at the set-up.
    :param services: the names in ``backups.service`` that denote this driver; new backups
        get the first one.
    :param pause: returns the seconds between two attempts; the option is mutable.
    :param limiter: does not count threads that are in a call of the driver.
    :param mark: of the directory of a driver that keeps files.
    """

    def __init__(
        self,
        host: str,
        zone: str,
        make: Callable[[], BackupDriver],
        services: tuple[str, ...],
        pause: Callable[[], float],
        limiter: Limiter,
        mark: DirectoryMark,
    ) -> None:
        self._directory = DirectoryGuard(mark, "the store of backups")
        self._latest: BackupDriver | None = None
        self.host = self.name = host
        self.cluster: str | None = None  # backup services have none
        self.zone = zone
        self.service = services[0]
        self._services = services
        self._make = make
        self._pause = pause
        self._limiter = limiter
        self._driver: BackupDriver | None = None
        self._set_up: BackupDriver | None = None
        self._reason = "it is still being set up"
        self._wanted = threading.Event()
        self._log = driver_setup.SetUpLog(LOG, "the store of backups cannot be used")
        self._away = False

    @property
    def initialized(self) -> bool:
        """Whether the driver is up, and its directory there."""
        return self._driver is not None and self._directory.problem is None

    @property
    def report_wanted(self) -> threading.Event:
        """Set when a capability report is requested before its time."""
        return self._wanted

    def require_driver(self) -> BackupDriver:
        """Return the driver. :raises DriverNotInitialized: with the reason."""
        if self._driver is None:
            raise DriverNotInitialized(f"backups cannot be kept on {self.host}: {self._reason}")
        if (problem := self._directory.problem) is not None:
            raise DriverNotInitialized(f"backups cannot be kept on {self.host}: {problem}")
        return self._driver

    def driver_for(self, request: Request, backup: Record) -> BackupDriver:
        """Return the driver that works on a backup for one request.

        :raises DriverNotInitialized: with the reason.
        :raises BackupDriverException: the request lacks something that the driver needs.
        """
        shared = self.require_driver()
        made = shared.for_request(request, backup)
        if made is self._set_up:
            return shared
        return blocking(made, self._limiter, measured=True)

    def check_directory(self) -> None:
        """Look for the directory of a driver that is up; operations fail without it."""
        if self._driver is not None:
            self._directory.check(self._latest)
            self._note(self._directory.problem is not None)

    def supports_force_delete(self) -> bool:
        """Return whether the driver can delete a backup in progress.

        :raises DriverNotInitialized: the driver is not up.
        """
        return bool(self.require_driver().support_force_delete)

    def is_this_store(self, service: str | None) -> bool:
        """Return whether backups with that service name are in this store.

        Rows of old releases hold the module of the driver only.
        """
        return not service or any(name.startswith(service) for name in self._services)

    def request_report(self) -> None:
        """Request a capability report without waiting for it."""
        self._wanted.set()

    def initialize(self, stopping: threading.Event) -> None:
        """Attempt the set-up until the driver is up or the service stops."""
        pause = self._pause
        driver_setup.until_up(self.attempt, stopping, "store of backups", lambda _state: pause())

    def attempt(self) -> bool:
        """Attempt the set-up once, with a new driver; return whether it succeeded."""
        try:
            driver = self._latest = self._make()
            with logged_call(driver, "check_for_setup_error"):
                driver.check_for_setup_error()
        except BaseException as error:  # noqa: BLE001 - a driver may raise anything at all
            self._note(True)
            self._reason = f"{type(error).__name__}: {error}"
            self._log.failed(error, self._reason)
            return False
        self._log.succeeded()
        self._set_up = driver
        self._driver = blocking(driver, self._limiter, measured=True)
        self._note(False)
        LOG.info("the store of backups is up: %s", self.service)
        return True

    def _note(self, away: bool) -> None:
        """Have monitors see an outage of the store, which has log lines of its own."""
        if away and not self._away:
            OUTAGES.begin("store", time.monotonic())
        elif self._away and not away:
            OUTAGES.end("store")
        self._away = away
