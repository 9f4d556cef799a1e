# SPDX-License-Identifier: Apache-2.0
"""One backend in one process: its driver, from set-up to use."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from drivers.interface.volume import VolumeDriver
from flows.errors import DriverNotInitialized
from worker.backends.stats import StatsCheck, StatsError
from worker.execution.concurrency import LimitedDriver, Limiter
from worker.rpc.context import RequestContext

LOG = logging.getLogger(__name__)

RETRY_FIRST = 1.0
RETRY_MAX = 60.0
"""Pauses between two attempts at a driver's set-up, in seconds."""


class VolumeBackend:
    """A driver and what the operations need to know of it.

    :param name: the backend's section.
    :param host: ``host@backend``.
    :param make: builds a driver instance; one per attempt at the set-up, as a
        driver is set up once (seeds, VolumeDriverCore.do_setup).
    :param configuration: the options of the backend.
    :param ready: called once, when the driver is up and before it is used.
    :param turnstile: left for each call of the driver.
    """

    def __init__(
        self,
        name: str,
        host: str,
        make: Callable[[], VolumeDriver],
        configuration: Any,
        ready: Callable[[VolumeDriver], None],
        turnstile: Limiter,
    ) -> None:
        self.name = name
        self.host = host
        self.service_uuid: str | None = None
        self._make = make
        self._configuration = configuration
        self._ready = ready
        self._turnstile = turnstile
        self._driver: VolumeDriver | None = None
        self._latest: VolumeDriver | None = None
        self._reason = "it is still being set up"
        self._class_name = ""
        self._check = StatsCheck(name)
        self._stats: dict[str, Any] = {}
        self._wanted = threading.Event()
        self._told: str | None = None

    @property
    def initialized(self) -> bool:
        """Whether the driver takes requests."""
        return self._driver is not None

    @property
    def report_wanted(self) -> threading.Event:
        """Set when a capability report is due before its time."""
        return self._wanted

    def require_driver(self) -> VolumeDriver:
        """Return the driver. :raises DriverNotInitialized: with the reason."""
        driver = self._driver
        if driver is None:
            raise DriverNotInitialized(f"backend {self.name} is not initialized: {self._reason}")
        return driver

    def any_driver(self) -> VolumeDriver:
        """Return the driver, or the one whose set-up failed last.

        :raises DriverNotInitialized: there is none.
        """
        return self._latest if self._driver is None and self._latest else self.require_driver()

    def renew(self, stopping: threading.Event) -> None:
        """Make the driver anew; until it is up, nothing is asked of any."""
        self._driver, self._reason = None, "it is made anew after a failover"
        self.initialize(stopping)

    def stats(self) -> Mapping[str, Any]:
        """Return the last statistics that passed the check."""
        return self._stats

    def publish_soon(self) -> None:
        """Ask for a capability report."""
        self._wanted.set()

    def initiator_namespace(self) -> str:
        """Return where initiator data is kept (spec/interfaces §2.2)."""
        configured = self._configuration.safe_get("driver_data_namespace")
        named = self._configuration.safe_get("volume_backend_name")
        return str(configured or named or self._class_name)

    def refresh(self) -> Mapping[str, Any]:
        """Fetch statistics anew; what is unusable leaves the last ones."""
        try:
            self._stats = self._check.clean(self.require_driver().get_volume_stats(refresh=True))
        except StatsError as error:
            LOG.error("%s; the last report stays", error)
        return self._stats

    def initialize(self, stopping: threading.Event) -> None:
        """Set the driver up, again and again until it is up or we stop."""
        pause, began = RETRY_FIRST, time.monotonic()
        while not stopping.is_set():
            if self.attempt():
                break
            LOG.info("backend %s: next attempt in %.0f s", self.name, pause)
            stopping.wait(pause)
            pause = min(pause * 2, RETRY_MAX)
        else:
            return
        if pause > RETRY_FIRST:
            LOG.info("backend %s is up after %.0f s", self.name, time.monotonic() - began)

    def attempt(self) -> bool:
        """Try the set-up once with a new driver instance and say whether it worked."""
        try:
            driver = self._latest = self._make()
            driver.do_setup(RequestContext.admin())
            driver.check_for_setup_error()
            self._stats = self._check.clean(driver.get_volume_stats(refresh=True))
            self._ready(driver)
        except BaseException as error:  # noqa: BLE001 - a driver may raise anything at all
            self._not_up(error)
            return False
        self._driver = cast(VolumeDriver, LimitedDriver(driver, self._turnstile))
        self._class_name = type(driver).__name__
        version = self._stats.get("driver_version", "?")
        LOG.info("backend %s is up: %s %s", self.name, type(driver).__name__, version)
        return True

    def _not_up(self, error: BaseException) -> None:
        self._reason = f"{type(error).__name__}: {error}"
        known = self._reason == self._told
        self._told = self._reason
        LOG.error(
            "backend %s did not come up and answers nothing but errors: %s",
            self.name,
            self._reason,
            exc_info=None if known else error,
        )
