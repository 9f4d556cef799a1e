# SPDX-License-Identifier: Apache-2.0
"""Compiled flows: one without parameters is compiled once for each concurrent use, and kept.

Compiling a flow costs more than running it, and the flow of a factory without parameters
always has the same shape.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from taskflow.flow import Flow

from flows.compat.taskflow import CompiledFlow
from flows.engine.forward_run import Line
from flows.factories import Factory, parameters_of
from flows.lifecycle import Step

RESULT = "result"
"""Name of the result that provides a call's answer."""


class Shape(CompiledFlow):
    """A compiled flow and its steps.

    One that is a line is not compiled before taskflow's engine has to run it.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow)
        self.has_result = RESULT in flow.provides
        self.line = Line.of(flow)
        tasks = self.tasks() if self.line is None else (one.step for one in self.line.steps)
        self.steps: dict[str, Step] = {task.name: task for task in tasks}
        self.first = next(iter(self.steps.values()))
        self.bookkeeping = frozenset(
            name for name, step in self.steps.items() if step.bookkeeping or step.only_notifies
        )


@functools.cache
def _idle_shapes(factory: Factory) -> collections.deque[Shape]:
    return collections.deque()


@contextmanager
def compiled(factory: Factory, args: Mapping[str, Any]) -> Iterator[Shape]:
    wanted = parameters_of(factory)
    if wanted:
        yield Shape(factory(**{name: args[name] for name in wanted}))
        return
    idle = _idle_shapes(factory)
    try:
        shape = idle.pop()
    except IndexError:
        shape = Shape(factory())
    try:
        yield shape
    finally:
        idle.append(shape)
