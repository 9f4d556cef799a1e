# SPDX-License-Identifier: Apache-2.0
"""Freeze a backend, so that nothing is made or changed on it, and thaw it.

=======  =====================================  =====================================
task     freeze                                 thaw
=======  =====================================  =====================================
tell     driver.freeze_backend; an error of     driver.thaw_backend; an error of the
         the driver is in the log               driver leaves everything as it is
write    the service's row: disabled, reason    enabled, without a reason; the answer
         ``frozen``; the answer is yes          is whether it was thawed; in a cluster the
                                                rows of all its hosts, both
=======  =====================================  =====================================

Nothing is reverted: the caller reads the row, and writes the flag ``frozen``.
Source: spec/volume-rpc, freeze_host and thaw_host.
"""

from __future__ import annotations

import logging

from taskflow.patterns import linear_flow

from drivers.interface.errors import VolumeDriverException
from flows.context import HostContext
from flows.driver_calls import driver_contract
from flows.engine.compiled_flows import RESULT
from flows.factories import registered
from flows.lifecycle import Step

LOG = logging.getLogger(__name__)

FROZEN = "frozen"


class NotifyDriver(Step, task="tell"):
    """Notify the driver. Idempotent: notifying it twice is harmless."""

    default_provides = "willing"

    def __init__(self, call: str) -> None:
        super().__init__("tell")
        self._call = call

    def execute(self, ctx: HostContext) -> bool:
        host, notify = ctx.backend.host, getattr(ctx.driver, self._call)
        try:
            notify(ctx.request)
        except NotImplementedError:
            return True
        except VolumeDriverException as error:
            LOG.error("%s of %s failed: %s", self._call, host, driver_contract.masked(error))
            return False
        except Exception as error:
            raise driver_contract.backend_error(self._call, host, error, "backend") from error
        return True


class DisableService(Step, task="freeze"):
    """Disable the service. Idempotent: it is written again."""

    default_provides = RESULT

    def execute(self, ctx: HostContext) -> bool:
        ctx.service.update_all(disabled=True, disabled_reason=FROZEN)
        LOG.info("backend %s is frozen", ctx.backend.host)
        return True


class EnableService(Step, task="thaw"):
    """Enable the service where the driver is willing. Idempotent: it is written again."""

    default_provides = RESULT

    def execute(self, ctx: HostContext, willing: bool) -> bool:
        if willing:
            ctx.service.update_all(disabled=False, disabled_reason="")
            LOG.info("backend %s is thawed", ctx.backend.host)
        return willing


@registered
def freeze() -> linear_flow.Flow:
    """Freeze the backend. Needs nothing."""
    return linear_flow.Flow("freeze_host").add(NotifyDriver("freeze_backend"), DisableService())


@registered
def thaw() -> linear_flow.Flow:
    """Thaw the backend. Needs nothing."""
    return linear_flow.Flow("thaw_host").add(NotifyDriver("thaw_backend"), EnableService())
