# SPDX-License-Identifier: Apache-2.0
"""Connections of Cinder's RBD driver; ``tests/cinder/drivers/test_compat.py`` has the contract."""

from __future__ import annotations

import pytest

from drivers.compat.cinder import rados_pool


class Driver:
    """A driver that notes its disconnections."""

    def __init__(self) -> None:
        self.closed: list[tuple[str, str]] = []

    def _connect_to_rados(self) -> tuple[str, str]:
        return "client", "pool"

    def _disconnect_from_rados(self, client: str, pool: str) -> None:
        self.closed.append((client, pool))


def test_a_pool_is_disconnected_after_its_use() -> None:
    driver = Driver()
    with rados_pool(driver) as pool:
        assert (pool, driver.closed) == ("pool", [])

    assert driver.closed == [("client", "pool")]


def test_a_pool_is_disconnected_after_an_error() -> None:
    driver = Driver()
    with pytest.raises(KeyError), rados_pool(driver):
        raise KeyError("no image")

    assert driver.closed == [("client", "pool")]
