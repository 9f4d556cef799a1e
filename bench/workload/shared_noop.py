# SPDX-License-Identifier: Apache-2.0
"""A backend that stores nothing, for any number of hosts."""

from __future__ import annotations

from drivers.volume.noop import NoopDriver


class SharedNoopDriver(NoopDriver):
    """Creates nothing, on every host."""

    SUPPORTS_ACTIVE_ACTIVE = True
    supports_active_active = True
