# SPDX-License-Identifier: Apache-2.0
"""Extra specs of a backend in get_capabilities."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.optional import OptionalMethods
from worker.backends import properties

SPEC = {"title": "IOPS", "description": "At most.", "type": "integer", "minimum": 1}


class Driver(OptionalMethods):
    """Sets the capabilities that a test gives it."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def init_capabilities(self) -> None:
        self.capabilities = self.given


def found(given: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the properties and the names of those that were left out."""
    logged: list[str] = []
    return properties.of(Driver(given), lambda name, _text: logged.append(name)), logged


def test_a_driver_without_any_has_the_standard_ones():
    answer = properties.of(OptionalMethods(), lambda *_: None)

    assert set(answer) == {"properties"}
    assert set(answer["properties"]) == {
        *("thin_provisioning", "compression", "qos", "replication_enabled")
    }
    assert {one["type"] for one in answer["properties"].values()} == {"boolean"}


def test_those_of_a_vendor_are_added_under_its_prefix():
    given = {"properties": {"acme:iops": SPEC, "qos": SPEC}, "vendor_prefix": "acme"}
    answer, left_out = found({**given, "free_capacity_gb": 1})

    assert (answer["vendor_prefix"], left_out) == ("acme", [])
    assert answer["properties"]["acme:iops"] == answer["properties"]["qos"] == SPEC
    assert len(answer["properties"]) == 5


@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ({"properties": {"other:iops": SPEC}, "vendor_prefix": "acme"}, ["properties.other:iops"]),
        ({"properties": {"acme:iops": SPEC}}, ["properties.acme:iops"]),
        ({"properties": {"a:x": object()}, "vendor_prefix": "a"}, ["properties.a:x"]),
        ({"properties": {"a:x": "text"}, "vendor_prefix": "a"}, []),
        ({"properties": None, "vendor_prefix": None}, []),
        ("rubbish", ["capabilities"]),
        (None, ["capabilities"]),
    ],
)
def test_properties_that_cannot_be_used_are_left_out(given, left_out):
    answer, logged = found(given)

    assert set(answer["properties"]) == set(properties.STANDARD)
    assert logged == left_out
