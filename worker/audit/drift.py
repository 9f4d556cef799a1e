# SPDX-License-Identifier: Apache-2.0
"""One difference between two places that should agree, and the kinds of them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Look = TypeVar("Look")


@dataclass(frozen=True)
class Drift:
    """One difference.

    :param resource_type: ``volume``, ``snapshot``, ``backup``, ``project`` and so on.
    :param resource_id: the id of the resource, or the name of an object.
    :param host: where the resource is served; empty for one without a host.
    :param details: the values of both sides, in one sentence.
    :param concerns: further ids by which an operation in the journal may know the resource.
    :param changed_at: when a row of it was last written (UTC); None without a row.
    :param facts: the arguments of the repair.
    :param repairable: whether the repair of the kind may be applied to this one.
    """

    resource_type: str
    resource_id: str
    host: str
    details: str
    concerns: tuple[str | None, ...] = ()
    changed_at: datetime.datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    repairable: bool = True

    @property
    def ids(self) -> set[str]:
        """The ids by which an operation in the journal may know the resource."""
        return {self.resource_id, *(one for one in self.concerns if one)}

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The fields that two looks at the same drift have in common."""
        return self.resource_type, self.resource_id, self.host, self.details


@dataclass(frozen=True)
class Kind(Generic[Look]):
    """A kind of drift.

    :param name: stable, in lower case with underscores; also the label of the metric.
    :param subject: the places that are compared, the first of which is expected to be right.
    :param meaning: how it comes about, or its effect.
    :param remedy: what an operator does about it.
    :param repair: the operation of ``--fix``; empty where there is none.
    :param find: yields the drifts.
    """

    name: str
    subject: str
    meaning: str
    remedy: str
    repair: str
    find: Callable[[Look], Iterator[Drift]] = field(compare=False, repr=False)


def kind(
    *, subject: str, meaning: str, remedy: str, repair: str = ""
) -> Callable[[Callable[[Look], Iterator[Drift]]], Kind[Look]]:
    """Make a kind of a function that finds it; the function's name becomes that of the kind."""

    def make(find: Callable[[Look], Iterator[Drift]]) -> Kind[Look]:
        return Kind(find.__name__, subject, meaning, remedy, repair, find)

    return make
