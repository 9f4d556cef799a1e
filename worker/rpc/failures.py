# SPDX-License-Identifier: Apache-2.0
"""Errors as callers see them: they rebuild only classes of ``cinder.exception``."""

from __future__ import annotations

import functools

from oslo_messaging.rpc import dispatcher

from drivers.interface import errors as driver_errors
from flows import errors as flow_errors
from worker.rpc.dispatch import BadMessage, UnknownMethod, UnsupportedVersion

WIRE_MODULE = "cinder.exception"

_SHOWN_AS = {
    flow_errors.StatusChanged: "InvalidVolume",
    flow_errors.DriverReturnedRubbish: "VolumeBackendAPIException",
    flow_errors.Unavailable: "CinderException",
    flow_errors.OperationInterrupted: "CinderException",
    flow_errors.OperationCancelled: "CinderException",
    flow_errors.OperationTimedOut: "CinderException",
    flow_errors.KeyManagerError: "CinderException",
    flow_errors.ManagedObjectNotFoundError: "CinderException",
    flow_errors.FlowError: "CinderException",
    flow_errors.ProcessStopping: "CinderException",
    driver_errors.DriverError: "VolumeDriverException",
}
"""Classes of ours that callers do not have, and their replacements."""

_OURS = (flow_errors.FlowError, flow_errors.ProcessStopping, driver_errors.DriverError)


def on_wire(error: BaseException) -> BaseException:
    """Return the exception to send to a caller in place of ours.

    An error that is neither ours nor a driver's is sent as it is: callers show
    it as an internal error, which it is.
    """
    if isinstance(error, UnsupportedVersion):
        unsupported: BaseException = dispatcher.UnsupportedVersion(str(error))
        return unsupported
    if isinstance(error, UnknownMethod):
        unknown: BaseException = dispatcher.NoSuchMethod(str(error))
        return unknown
    if isinstance(error, BadMessage):
        return _class("Invalid")(str(error))
    if isinstance(error, _OURS):
        return _class(_SHOWN_AS.get(type(error), type(error).__name__))(str(error))
    return error


@functools.cache
def _class(name: str) -> type[Exception]:
    return type(name, (Exception,), {"__module__": WIRE_MODULE})
