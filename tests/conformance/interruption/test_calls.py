# SPDX-License-Identifier: Apache-2.0
"""Each method with a kill within its call, and with another call within it.

After a kill the call is repeated, by a driver that was started anew, or undone: made objects
are deleted. Two calls at once change different objects. Source: seeds; the rules of every call.
"""

from __future__ import annotations

import pytest

from drivers.interface.errors import DriverError
from drivers.interface.records import Record

from ..backend import announces
from .interleave import interleaved
from .kill import killed, without_room
from .points import sources, spread
from .scenarios import SCENARIOS, Prepared

pytestmark = [pytest.mark.plain, pytest.mark.calls]

MAKING = {
    *("create_volume", "create_snapshot", "create_volume_from_snapshot", "create_cloned_volume"),
    *("create_cgsnapshot", "create_consistencygroup_from_src"),
}
"""Methods that make objects, which a deletion undoes."""

REMOVING = {
    "delete_volume": "create_volume",
    "delete_snapshot": "create_snapshot",
    "delete_consistencygroup": "create_volume",
    "delete_cgsnapshot": "create_snapshot",
}
"""Methods that remove objects, each with the one that makes such objects."""


@pytest.fixture
def scenario(name, backend, driver):
    found = SCENARIOS[name]
    if backend.is_cinders:
        pytest.skip("drivers of Cinder are not killed: they share state of the process")
    if isinstance(found.optional, str) and not announces(type(driver), found.optional):
        pytest.skip(f"{type(driver).__name__} does not announce {found.optional}")
    if isinstance(found.optional, type) and not isinstance(driver, found.optional):
        pytest.skip(f"{type(driver).__name__} is no {found.optional.__name__}")
    return found


def call(driver, backend, one: Prepared):
    """Make the call on a driver of which calls are not followed, with the current records."""
    return lambda: getattr(driver, one.method)(*map(backend.current, one.arguments))


def count(backend, scenario):
    """Return how many points the call has."""
    one = scenario.prepare(backend)
    places = sources(type(backend.driver))
    found = killed(lambda: call(backend.made_anew(), backend, one), places, -1)
    assert found is not None
    backend.restarted()
    getattr(backend.driver, one.method)(*one.arguments)
    scenario.check(backend, one)
    return found


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_that_was_killed_can_be_repeated(backend, scenario):
    """Whatever the point, the repetition has the outcome of one call."""
    places = sources(type(backend.driver))
    for at in spread(count(backend, scenario), backend.case.points):
        one = scenario.prepare(backend)
        killed(lambda one=one: call(backend.made_anew(), backend, one), places, at)
        backend.restarted()

        getattr(backend.driver, one.method)(*one.arguments)

        scenario.check(backend, one)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name in MAKING])
def test_a_call_that_was_killed_can_be_undone(backend, scenario):
    """Deletion finds and removes everything that was made so far."""
    places = sources(type(backend.driver))
    for at in spread(count(backend, scenario), backend.case.points):
        one = scenario.prepare(backend)
        killed(lambda one=one: call(backend.made_anew(), backend, one), places, at)
        backend.restarted()

        for record in one.removed:
            getattr(backend.driver, f"delete_{record.kind}")(record)

        for record in one.removed:
            absent(backend, record)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_that_had_no_room_can_be_repeated(backend, scenario):
    """Its programs die in the middle of a file, and nothing more can be written."""
    one = scenario.prepare(backend)
    without_room(lambda: call(backend.made_anew(), backend, one))
    backend.restarted()

    getattr(backend.driver, one.method)(*one.arguments)

    scenario.check(backend, one)


def absent(backend, record: Record):
    with pytest.raises(DriverError):
        if record.kind == "volume":
            backend.driver.extend_volume(record, 9)
        else:
            backend.driver.create_volume_from_snapshot(backend.volume(9), record)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("is_same", [True, False], ids=["one instance", "two instances"])
def test_two_calls_at_once_do_not_disturb_each_other(backend, scenario, is_same):
    """Whatever the point at which the other call comes, both have their outcome."""
    places = sources(type(backend.driver))
    for at in spread(count(backend, scenario), backend.case.points):
        one, other = scenario.prepare(backend), scenario.prepare(backend)
        first = backend.made_anew()
        second = (lambda first=first: first) if is_same else backend.made_anew

        answer, _ = interleaved(
            call(first, backend, one), noted(second, backend, other), places, at
        )
        backend.written(one.method, list(one.arguments), answer)

        scenario.check(backend, one)
        scenario.check(backend, other)


@pytest.mark.parametrize("name", REMOVING)
def test_what_is_made_during_a_removal_stays(backend, scenario, name):
    """A removal that compares lists from before and after itself would take it along."""
    places = sources(type(backend.driver))
    for at in spread(count(backend, scenario), backend.case.points):
        one, made = scenario.prepare(backend), SCENARIOS[REMOVING[name]].prepare(backend)
        first = backend.made_anew()

        interleaved(
            call(first, backend, one), noted(lambda first=first: first, backend, made), places, at
        )

        scenario.check(backend, one)
        SCENARIOS[REMOVING[name]].check(backend, made)


def noted(made, backend, one):
    """Make the call, and note its answer; another process may set its driver up only then."""

    def work():
        backend.written(one.method, list(one.arguments), call(made(), backend, one)())

    return work
