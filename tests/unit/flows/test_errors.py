# SPDX-License-Identifier: Apache-2.0
"""Errors of operations and of drivers that share a name are related."""

from __future__ import annotations

from drivers.interface import errors as driver_errors
from flows import errors


def classes(module: object) -> dict[str, type]:
    return {name: kind for name, kind in vars(module).items() if isinstance(kind, type)}


def test_a_shared_name_means_a_subclass() -> None:
    ours, drivers = classes(errors), classes(driver_errors)
    shared = ours.keys() & drivers.keys()

    assert shared == {"InvalidInput"}
    assert all(issubclass(ours[name], drivers[name]) for name in shared)
