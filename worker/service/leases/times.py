# SPDX-License-Identifier: Apache-2.0
"""Times of the leases, from the options of section [journal]."""

from __future__ import annotations

from dataclasses import dataclass

from oslo_config import cfg


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds; renewal < kill_after < ttl.

    :param ttl: for which a lease is valid.
    :param renewal: between two renewals.
    :param kill_after: after the last renewal, at which the process is killed.
    :param margin: after the end of the lease, before another process takes the slot.
    """

    ttl: float = 15.0
    renewal: float = 3.0
    kill_after: float = 10.0
    margin: float = 2.0

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> LeaseTimes:
        """Return the configured times."""
        options = conf.journal
        return cls(
            options.slot_ttl,
            options.slot_renewal,
            options.slot_kill_after,
            options.slot_takeover_margin,
        )

    @property
    def silence(self) -> int:
        """How long the server may take to answer a renewal, so that a second one is in time."""
        return max(1, int(self.kill_after / 3))
