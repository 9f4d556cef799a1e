# SPDX-License-Identifier: Apache-2.0
"""Columns that a driver returns for a row."""

from __future__ import annotations

import pytest

from drivers.interface.records import Record
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish

VOLUME = Record("volume", {"id": "v", "host": "node@array#fast"})


def test_driver_moves_a_volume_to_another_pool_of_its_backend() -> None:
    answer = {"host": "node@array#slow", "provider_id": "x"}

    assert driver_contract.model_update(answer, VOLUME, "create_volume") == answer


@pytest.mark.parametrize(
    "host", ["node@array", "node@array#", "other@array#fast", "node@array2#fast", None, 7]
)
def test_driver_moves_no_volume_to_another_backend(host: object) -> None:
    with pytest.raises(
        DriverReturnedRubbish, match="returned host: columns that a driver must not set"
    ):
        driver_contract.model_update({"host": host}, VOLUME, "create_volume")


def test_row_without_a_host_gets_none_of_the_driver() -> None:
    row = Record("snapshot", {"id": "s"})
    with pytest.raises(DriverReturnedRubbish):
        driver_contract.model_update({"host": "node@array#fast"}, row, "create_snapshot")
