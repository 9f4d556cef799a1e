# SPDX-License-Identifier: Apache-2.0
"""One operation in this process: its flow, its next attempt, its locks."""

from __future__ import annotations

import pickle
import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from taskflow.persistence.models import FlowDetail

from flows.errors import FlowError
from worker.execution import operation_log
from worker.execution.resource_queue import HeldLocks
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext
from worker.spans.traces import NO_SPANS, Attempt

_PACKING = threading.Lock()

_PACKED: Mapping[str, Any] = MappingProxyType({})
_PACKED_REQUEST = RequestContext({})
"""Arguments and request of operations that are packed."""

_FAST = 1
"""Level of the compression of arguments: the fastest, 40 us for those of a creation."""


@dataclass(eq=False, slots=True)
class OperationRun:
    """An operation in this process, from its acceptance to its end, over all attempts.

    :param detail: its entry in the journal, with the states of its tasks.
    :param resumed: whether an earlier attempt was interrupted.
    :param cancelled: why it is to be reverted, if an operator asked for that.
    :param revert: why this attempt reverts the flow; None for one that runs it.
    :param calls_driver: whether this attempt may call the driver; if not, it writes rows only.
    :param repeated: whether its caller has repeated the request meanwhile, with success.
    :param reopen: whether it had failed, and an operator asked to run it again.
    :param journalled: whether the journal takes its progress; if not, it is reverted in memory.
    :param is_call: whether a caller waits for it.
    :param group_size: how many operations are resumed together, this one included.
    :param locks: those that it holds; None where another process cannot take them.
    :param kept: whether the journal has all that a repetition of its reverts needs.
    :param has_turn: whether it is let in on its resources.
    :param has_thread: whether it has a thread.
    :param has_begun: whether it has its locks as well.
    :param deferrals: how often it has waited for the end of another operation.
    :param since: when it came to this process, in monotonic seconds.
    :param ended: set at its end; made when it begins.
    :param project: whose operation it is; empty where the request names none.
    :param spans: those of its present attempt, in a trace.
    """

    operation: Operation
    detail: FlowDetail
    resumed: bool = False
    cancelled: FlowError | None = None
    revert: FlowError | None = None
    calls_driver: bool = True
    repeated: bool = False
    reopen: bool = False
    journalled: bool = True
    is_call: bool = False
    group_size: int = 1
    kept: bool = False
    locks: HeldLocks | None = None
    has_turn: bool = False
    has_thread: bool = False
    has_begun: bool = False
    deferrals: int = 0
    since: float = field(default_factory=time.monotonic)
    spans: Attempt = NO_SPANS
    ended: threading.Event = field(init=False)
    project: str = field(init=False)
    _packed: bytes | None = None

    def __post_init__(self) -> None:
        self.project = self.operation.request.project_id or ""

    def __str__(self) -> str:
        return f"{self.operation}, flow {self.flow}"

    @property
    def flow(self) -> str:
        """The flow's id."""
        return str(self.detail.uuid)

    @property
    def waits_for(self) -> str:
        """``turn``, ``thread`` or ``lock``; empty for an operation that runs."""
        if self.has_begun:
            return ""
        if self.has_thread:
            return "lock"
        return "thread" if self.has_turn else "turn"

    @property
    def next_step(self) -> str:
        """The advice to an operator where effects of the operation may be left."""
        return operation_log.next_step(self.flow, has_all=self.kept)

    def pack(self) -> int:
        """Reduce arguments and request to a tenth of their memory, while it waits.

        :returns: the bytes that they need now.
        """
        self._packed = zlib.compress(pickle.dumps((self.operation, self.detail)), _FAST)
        self.operation = replace(self.operation, args=_PACKED, request=_PACKED_REQUEST)
        self.detail = FlowDetail(self.detail.name, self.detail.uuid)
        return len(self._packed)

    def unpack(self) -> None:
        """Restore arguments and request before they are used."""
        with _PACKING:
            if self._packed is not None:
                self.operation, self.detail = pickle.loads(zlib.decompress(self._packed))
                self._packed = None
