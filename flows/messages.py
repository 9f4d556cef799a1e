# SPDX-License-Identifier: Apache-2.0
"""Numbers of user messages: what was done, and what went wrong (spec/volume-rpc §6)."""

from __future__ import annotations

from taskflow.types.failure import Failure

from flows.errors import DriverNotInitialized, InvalidVolumeAttachMode

ATTACH_VOLUME = "002"
EXTEND_VOLUME = "007"
CREATE_VOLUME = "008"
CREATE_SNAPSHOT = "009"
DELETE_SNAPSHOT = "010"

DRIVER_NOT_INITIALIZED = "002"
ATTACH_MODE = "005"
ATTACH_FAILED = "021"
DRIVER_FAILED_EXTEND = "010"
DRIVER_FAILED_CREATE = "012"
SNAPSHOT_CREATE = "013"
SNAPSHOT_METADATA = "014"
SNAPSHOT_BUSY = "015"
SNAPSHOT_DELETE = "016"

_BY_ERROR = {
    DriverNotInitialized: DRIVER_NOT_INITIALIZED,
    InvalidVolumeAttachMode: ATTACH_MODE,
}


def detail_of(failure: Failure, default: str) -> str:
    """Return the detail number for a failure; its class overrides the default."""
    for error, detail in _BY_ERROR.items():
        if failure.check(error):
            return detail
    return default
