# SPDX-License-Identifier: Apache-2.0
"""The part of an entry that stays after its operation has ended, and how it runs again.

A success keeps the fields of listings. A failure keeps its arguments too, so that an operator
can have it run again. A failed call that no caller waits for any more never runs again: the
secrets in its arguments and results, such as those of a connector, are masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskflow import states
from taskflow.persistence.models import FlowDetail
from taskflow.types.failure import Failure

from flows.lifecycle import error_name
from flows.secret_texts import masked_value
from flows.storable_errors import without_secrets
from worker.journal import interruptions

MASKED = "masked"
"""Key of the meta of an ended flow whose secrets were removed: it cannot run again."""

RESUMED = "resumed"
"""Key of the meta of an ended flow that was resumed: a caller got no reply of its first attempt."""

_KEPT_TO_RESUME = ("args", "request", "locks", "shared", "when_cut_short", "moves_data", "claims")
"""Keys of the meta that a failed flow keeps, so that an operator may resume it."""

SHOWN = 4000
"""Bytes that are kept of a text for listings: of an error, or of a rejected message."""


@dataclass(frozen=True)
class EndedFlow:
    """The entry of a flow that has ended.

    :param atoms: tasks whose stored results change.
    """

    state: str
    meta: dict[str, Any]
    atoms: tuple[Any, ...] = ()


def succeeded(detail: FlowDetail) -> EndedFlow:
    """Return the entry of a success, with the times of its tasks."""
    tasks = [(atom.name, atom.meta.get("began"), atom.meta.get("ended")) for atom in detail]
    return EndedFlow(states.SUCCESS, {**_listed(detail), "tasks": tasks})


def failed(detail: FlowDetail, failure: Failure, left: Mapping[str, str]) -> EndedFlow:
    """Return the entry of a failure.

    :param left: class and text of the error of each revert that failed, by step.
    """
    meta = _listed(detail)
    meta |= {key: detail.meta[key] for key in _KEPT_TO_RESUME if key in detail.meta}
    atoms: tuple[Any, ...] = ()
    if meta.get("when_cut_short") == "revert":  # of no use without its caller
        args, atoms = masked_value(meta["args"]), tuple(_masked_atoms(detail))
        meta[MASKED] = bool(atoms) or args != meta["args"]
        meta["args"] = args
    meta["failure"] = shown(f"{error_name(failure)}: {failure.exception_str}")
    meta["left"] = {step: shown(text) for step, text in left.items()}
    return EndedFlow(states.FAILURE if left else states.REVERTED, meta, atoms)


def reopened(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the meta of a flow that starts again after it had ended."""
    of_the_end = ("failure", "left", "undo", "reopened", MASKED, *interruptions.NOTES)
    return {key: value for key, value in meta.items() if key not in of_the_end} | {"resumes": 0}


def unmask(detail: FlowDetail, known: FlowDetail) -> None:
    """Give a flow that was read the secrets that it had before it was written."""
    args = known.meta.get("args")
    if masked_value(args) == detail.meta.get("args"):
        detail.meta = {**detail.meta, "args": args}
    for atom in detail:
        before = known.find(atom.uuid)
        if before is not None and masked_value(before.results) == atom.results:
            atom.results = before.results


def shown(text: object) -> str:
    """Return a text for listings, without secrets."""
    return without_secrets("" if text is None else str(text), SHOWN)


def _listed(detail: FlowDetail) -> dict[str, Any]:
    """Return the fields of listings."""
    meta = {key: detail.meta[key] for key in ("method", "factory", "resource", "resumes")}
    if "reached" in detail.meta:
        meta[RESUMED] = True
    return {**meta, "request_id": detail.meta["request"].get("request_id")}


def _masked_atoms(detail: FlowDetail) -> list[Any]:
    """Return copies of the tasks of a flow whose results had secrets, such as a connector."""
    found = []
    for atom in detail:
        if atom.state == states.PENDING or isinstance(atom.results, Failure):
            continue
        results = masked_value(atom.results)
        if results != atom.results:
            changed = atom.copy()
            changed.results = results
            found.append(changed)
    return found
