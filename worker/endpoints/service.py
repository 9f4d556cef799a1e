# SPDX-License-Identifier: Apache-2.0
"""RPC methods on a running service: log levels, capabilities and their report.

None of them starts a flow.
"""

from __future__ import annotations

from typing import Any, Protocol

from worker.endpoints.arguments import field, prefix_of
from worker.rpc import objects
from worker.rpc.dispatch import exposed
from worker.rpc.request_context import RequestContext


class LogLevels(Protocol):
    """The log levels of this process."""

    def set_levels(self, prefix: str, level: str) -> None:
        """Set the level of all loggers whose names start with a prefix.

        :raises InvalidInput: there is no such level.
        """

    def levels(self, prefix: str) -> dict[str, str]:
        """Return the effective level of each logger whose name starts with a prefix."""


class CapabilityReports(Protocol):
    """The capability reports of this process."""

    def request_report(self) -> None:
        """Request a report without waiting for it; the reporter sends it when the driver is up."""


class DriverCapabilities(Protocol):
    """The capabilities of a volume driver."""

    def current(self, *, refresh: bool) -> dict[str, Any]:
        """Return the capabilities.

        :param refresh: whether the driver is asked anew; otherwise the last report is used.
        :raises DriverNotInitialized: the driver is not up.
        """


class ServiceEndpoint:
    """Methods of both services.

    :param reports: sends capability reports.
    :param log_levels: reads and changes log levels.
    """

    def __init__(self, reports: CapabilityReports, log_levels: LogLevels) -> None:
        self._reports = reports
        self._log_levels = log_levels

    @exposed("2.2", "3.0", journalled=False)
    def publish_service_capabilities(self, request: RequestContext) -> None:
        """Send a capability report to the scheduler."""
        self._reports.request_report()

    @exposed("2.1", "3.12", journalled=False)
    def set_log_levels(self, request: RequestContext, log_request: Any) -> None:
        """Set log levels by logger prefix."""
        level = field(log_request, "level", "log_request")
        self._log_levels.set_levels(prefix_of(log_request), str(level))

    @exposed("2.1", "3.12", journalled=False)
    def get_log_levels(self, request: RequestContext, log_request: Any) -> dict[str, Any]:
        """Return log levels by logger prefix."""
        return objects.log_levels(self._log_levels.levels(prefix_of(log_request)))


class CapabilityEndpoint:
    """The method by which callers read the capabilities of a backend.

    :param capabilities: of the backend's driver.
    """

    def __init__(self, capabilities: DriverCapabilities) -> None:
        self._capabilities = capabilities

    @exposed("3.0", journalled=False)
    def get_capabilities(self, request: RequestContext, discover: bool = False) -> dict[str, Any]:
        """Return the driver's capabilities."""
        return self._capabilities.current(refresh=bool(discover))
