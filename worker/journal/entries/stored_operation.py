# SPDX-License-Identifier: Apache-2.0
"""Read an operation back from its entry in the journal, which may be damaged or forged."""

from __future__ import annotations

import uuid
from dataclasses import replace

from taskflow import states
from taskflow.exceptions import TaskFlowException
from taskflow.persistence.models import FlowDetail

from flows.factories import NotOfThisVersion
from worker.journal import interruptions
from worker.journal.entries.argument_schema import check_results, checked
from worker.journal.errors import UnreadableEntry
from worker.rpc.operation import Operation

UNREADABLE = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError),
    TaskFlowException,
)
"""Errors of code that reads values of wrong kinds."""

_STATES = frozenset(
    {
        *(states.PENDING, states.RUNNING, states.SUCCESS, states.FAILURE),
        *(states.REVERTING, states.REVERTED, states.REVERT_FAILURE, states.IGNORE),
    }
)
"""States of tasks."""


def operation_of(detail: FlowDetail) -> Operation:
    """Return the operation of an entry that is to be resumed.

    :raises NotOfThisVersion: another version of the worker may have such an operation.
    :raises UnreadableEntry: no version has.
    """
    try:
        uuid.UUID(detail.uuid)
        operation = Operation.from_meta(detail.meta)
        operation = replace(operation, args=checked(operation.factory, operation.args))
        interruptions.of(detail)
        for atom in detail:
            if atom.state not in _STATES:
                raise ValueError(f"the task {atom.name!r:.100} is in no known state")
        check_results(operation.factory, detail)
    except NotOfThisVersion:
        raise
    except UNREADABLE as error:
        raise UnreadableEntry(reason_of(error)) from error
    return operation


def reason_of(error: Exception) -> str:
    """Return why an entry cannot be read, as one short text."""
    text = f"lacks {error}" if type(error) is KeyError else str(error)
    return f"{text or type(error).__name__:.300}"
