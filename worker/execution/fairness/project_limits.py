# SPDX-License-Identifier: Apache-2.0
"""Weights and limits of projects, as the options say at the moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oslo_config import cfg
from oslo_utils import units

ANY = "*"
"""Every project that is not named."""

Values = Callable[[], Mapping[str, int]]
"""Returns an option, by project; a reload may change it."""


def no_limit() -> int:
    """Return the value of a limit that is not set."""
    return 0


def _none() -> Mapping[str, int]:
    return {}


@dataclass(frozen=True)
class ProjectLimits:
    """The options of projects. Operations of no project, the service's own ones, have no limit.

    :param weights: their shares, relative to each other.
    :param operations: how many operations run at once, of each kind in each process; 0 for any.
    :param bandwidth: MiB of data transfers in a second, in each process; 0 for any.
    """

    weights: Values = _none
    operations: Values = _none
    bandwidth: Values = _none

    @classmethod
    def of(cls, conf: cfg.ConfigOpts) -> ProjectLimits:
        """Read the options when they are asked for."""
        return cls(
            lambda: conf.project_weights,
            lambda: conf.project_operations_max,
            lambda: conf.project_bandwidth_mib,
        )

    def weight(self, project: str) -> int:
        """Return the share of a project, 1 by default."""
        return _of(self.weights(), project, 1)

    def most(self, project: str) -> int:
        """Return how many operations of a project run at once; 0 for no limit."""
        return _of(self.operations(), project, 0) if project else 0

    def bytes_per_second(self, project: str) -> int:
        """Return the bandwidth of a project's data transfers; 0 for no limit."""
        return _of(self.bandwidth(), project, 0) * units.Mi if project else 0


UNLIMITED = ProjectLimits()


def _of(values: Mapping[str, int], project: str, default: int) -> int:
    if not values:
        return default
    found = values.get(project)
    return int(values.get(ANY, default) if found is None else found)
