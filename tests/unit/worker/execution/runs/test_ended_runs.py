# SPDX-License-Identifier: Apache-2.0
"""The memory of operations that have ended, with all that they took along."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from flows.context import OperationContext
from flows.engine.flow_run import FlowRun
from tests.unit.worker.execution.test_operation_pool import Bench, until
from tests.unit.worker.execution.test_operation_pool import bench as bench  # noqa: PLC0414
from worker.execution.resource_queue import Ticket
from worker.execution.runs.operation_run import OperationRun
from worker.rpc.operation import Operation
from worker.rpc.server import Cast

Kinds = tuple[type, ...]

KINDS: Kinds = (Cast, Operation, OperationRun, Ticket)
WITHOUT_ENGINE = (*KINDS, FlowRun, OperationContext)
"""taskflow's engine, which takes over a flow that resumes, is garbage with what it refers to."""


@pytest.fixture
def left() -> Iterator[Callable[[Kinds], list[object]]]:
    """A function that finds objects which only a collection of garbage would free."""
    gc.collect()
    gc.disable()
    # They are kept, so that no other object gets the id of one of them.
    before = [one for one in gc.get_objects() if isinstance(one, WITHOUT_ENGINE)]
    known = {id(one) for one in before}
    yield lambda kinds: [
        one for one in gc.get_objects() if isinstance(one, kinds) and id(one) not in known
    ]
    gc.enable()


def operation(bench: Bench) -> None:
    bench.ended(bench.cast("note", name="a"))


def operation_that_waits(bench: Bench) -> None:
    for flow in [bench.cast("note", name=name) for name in "ab"]:
        bench.ended(flow)


def deferred_operation(bench: Bench) -> None:
    bench.ended(bench.cast("wait_for", name="v1", other="v2"))


def call(bench: Bench) -> None:
    assert bench.call("ask", name="a") == "A"


@pytest.mark.parametrize(
    ("work", "kinds"),
    [
        (operation, WITHOUT_ENGINE),
        (operation_that_waits, WITHOUT_ENGINE),
        (deferred_operation, KINDS),
        (call, WITHOUT_ENGINE),
    ],
)
def test_one_that_has_ended_leaves_no_garbage(
    bench: Bench,
    left: Callable[[Kinds], list[object]],
    work: Callable[[Bench], None],
    kinds: Kinds,
) -> None:
    work(bench)

    until(lambda: not left(kinds))
