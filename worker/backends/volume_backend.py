# SPDX-License-Identifier: Apache-2.0
"""The volume driver of one backend in one process: its set-up and its use."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import tenacity

from drivers.interface.volume import ZEROED, VolumeDriver
from flows.errors import DriverNotInitialized
from worker.backends import driver_setup, properties
from worker.backends.directory_mark import DirectoryGuard, DirectoryMark
from worker.backends.reports.slow_statistics import StatisticsTimer
from worker.backends.stats import StatsCheck, StatsError
from worker.call_log import logged_call
from worker.execution.concurrency import Limiter, blocking
from worker.outage_log import FailureLog
from worker.rpc.request_context import RequestContext

LOG = logging.getLogger(__name__)

RETRY_FIRST = 1.0
RETRY_MAX = 60.0
"""First and longest pause between two attempts at the set-up of a driver, in seconds."""


class Registered(Protocol):
    """The row of a service in ``services``."""

    @property
    def host(self) -> str:
        """``host@backend``."""

    @property
    def cluster(self) -> str | None:
        """``cluster@backend``; None without a cluster."""

    @property
    def uuid(self) -> str:
        """The UUID of the row; another one when the row was inserted again."""


class VolumeBackend:
    """A driver, its statistics and its state.

    :param name: the backend's section.
    :param service: the registered service of the backend.
    :param make: builds a driver instance; one for each attempt at the set-up, because a
        driver is set up once (seeds, VolumeDriverCore.do_setup).
    :param configuration: the options of the backend.
    :param ready: called with a driver and its statistics, after its set-up and before its
        first use.
    :param limiter: does not count threads that are in a call of the driver.
    :param mark: of the directory of a driver that keeps files.
    :param timer: times the statistics.
    """

    def __init__(
        self,
        name: str,
        service: Registered,
        make: Callable[[], VolumeDriver],
        configuration: Any,
        ready: Callable[[VolumeDriver, Mapping[str, Any]], None],
        limiter: Limiter,
        mark: DirectoryMark,
        timer: StatisticsTimer,
    ) -> None:
        self.name = name
        self.timer = timer
        self._directory = DirectoryGuard(mark, f"backend {name}")
        self.host = service.host
        self.cluster = service.cluster
        self._service = service
        self._make = make
        self._configuration = configuration
        self._ready = ready
        self._limiter = limiter
        self._driver: VolumeDriver | None = None
        self._latest: VolumeDriver | None = None
        self._reason = "it is still being set up"
        self._class_name = ""
        self.stats_check = StatsCheck(name, service.host)
        self._stats: dict[str, Any] = {}
        self._stats_log = FailureLog(LOG)
        self._properties: dict[str, Any] = {}
        self._wanted = threading.Event()
        down = f"backend {name} did not come up, its operations fail"
        self._log = driver_setup.SetUpLog(LOG, down)

    @property
    def service_uuid(self) -> str:
        """The UUID of the backend's services row."""
        return self._service.uuid

    @property
    def initialized(self) -> bool:
        """Whether the driver is up, and its directory there."""
        return self._driver is not None and self._directory.problem is None

    @property
    def report_wanted(self) -> threading.Event:
        """Set when a capability report is requested before its time."""
        return self._wanted

    def require_driver(self) -> VolumeDriver:
        """Return the driver. :raises DriverNotInitialized: with the reason."""
        driver = self._driver
        if driver is None:
            raise DriverNotInitialized(f"backend {self.name} is not initialized: {self._reason}")
        if (problem := self._directory.problem) is not None:
            raise DriverNotInitialized(f"backend {self.name} is down: {problem}")
        return driver

    def check_directory(self) -> None:
        """Look for the directory of a driver that is up; operations fail without it."""
        if self._driver is not None:
            self._directory.check(self._latest)

    def any_driver(self) -> VolumeDriver:
        """Return the driver, or the instance whose set-up failed last.

        :raises DriverNotInitialized: there is none.
        """
        if self._driver is None and self._latest:
            return blocking(self._latest, self._limiter, measured=True)
        return self.require_driver()

    def renew(self, stopping: threading.Event) -> None:
        """Build and set up a new driver; operations fail until it is up."""
        self._driver, self._reason = None, "it is set up again after a failover"
        self.initialize(stopping)

    def stats(self) -> Mapping[str, Any]:
        """Return the last statistics that passed the check."""
        return self._stats

    def properties(self, *, renew: bool = False) -> Mapping[str, Any]:
        """Return the extra specs that the driver understands.

        :param renew: whether the driver prepares them again.
        """
        if renew:
            self._properties = properties.of(self.require_driver(), self.stats_check.log)
        return self._properties

    def request_report(self) -> None:
        """Request a capability report without waiting for it."""
        self._wanted.set()

    def initiator_namespace(self) -> str:
        """Return the namespace of initiator data (spec/interfaces §2.2)."""
        configured = self._configuration.safe_get("driver_data_namespace")
        named = self._configuration.safe_get("volume_backend_name")
        return str(configured or named or self._class_name)

    def refresh(self) -> Mapping[str, Any]:
        """Fetch statistics from the driver; keep the last ones if they are unusable."""
        try:
            self._stats = self._checked(self.require_driver())
            self._stats_log.succeeded()
        except StatsError as error:
            self._stats_log.failed(error, "%s; the last statistics stay in effect", error)
        return self._stats

    def initialize(self, stopping: threading.Event) -> None:
        """Attempt the set-up until the driver is up or the service stops."""
        wait = tenacity.wait_exponential(multiplier=RETRY_FIRST, max=RETRY_MAX)
        driver_setup.until_up(self.attempt, stopping, f"backend {self.name}", wait)

    def attempt(self) -> bool:
        """Attempt the set-up once, with a new instance; return whether it succeeded."""
        try:
            driver = self._latest = self._make()
            with logged_call(driver, "do_setup"):
                driver.do_setup(RequestContext.admin())
            with logged_call(driver, "check_for_setup_error"):
                driver.check_for_setup_error()
            with logged_call(driver, "init_capabilities"):
                self._properties = properties.of(driver, self.stats_check.log)
            with logged_call(driver, "get_volume_stats"):
                self._stats = self._checked(driver)
            self._ready(driver, self._stats)
        except BaseException as error:  # noqa: BLE001 - a driver may raise anything at all
            self._reason = f"{type(error).__name__}: {error}"
            self._log.failed(error, self._reason)
            return False
        self._log.succeeded()
        self._driver = blocking(driver, self._limiter, measured=True)
        self._class_name = type(driver).__name__
        version = self._stats.get("driver_version", "?")
        LOG.info("backend %s is up: %s %s", self.name, type(driver).__name__, version)
        return True

    def _checked(self, driver: VolumeDriver) -> dict[str, Any]:
        """Return a driver's statistics after their check.

        An operator may know more of new volumes than a driver that was written for Cinder.
        """
        with self.timer.running():
            found = driver.get_volume_stats(refresh=True)
        stats = self.stats_check.clean(found)
        stated = json.loads(self._configuration.safe_get("extra_capabilities") or "{}")
        if ZEROED in stated:
            stats[ZEROED] = stated[ZEROED] is True
        return stats
