# SPDX-License-Identifier: Apache-2.0
"""A journal in memory that keeps nothing but JSON, for flows that are killed and resumed."""

from __future__ import annotations

import json
import uuid
from typing import Any

from taskflow import states
from taskflow.persistence import models

BOUNDARIES = (states.RUNNING, states.REVERTING)


class JsonJournal:
    """One flow's persistence; it is its own connection.

    :param gathers: write only when a task is about to start or to be reverted, as
        the worker's journal does; otherwise write each change.
    """

    def __init__(self, gathers: bool) -> None:
        self._gathers = gathers
        detail = models.FlowDetail("test", str(uuid.uuid4()))
        detail.meta = {"claims": True}
        self._flow: dict[str, Any] = detail.to_dict()
        self._atoms: dict[str, dict[str, Any]] = {}
        self._progressed = False
        self._text = ""
        self.texts: list[str] = []
        self.flush()

    def load(self) -> models.FlowDetail:
        """Drop unwritten changes and read the rest."""
        data = json.loads(self._text)
        self._flow, self._atoms = data["flow"], data["atoms"]
        detail = models.FlowDetail.from_dict(self._flow)
        for atom in self._atoms.values():
            detail.add(models.TaskDetail.from_dict(atom))
        return detail

    def get_connection(self) -> JsonJournal:
        return self

    def close(self) -> None:
        """Nothing to close."""

    def flush(self) -> None:
        """Write the gathered changes; they must be JSON."""
        self._text = json.dumps({"flow": self._flow, "atoms": self._atoms})
        self.texts.append(self._text)

    def put_back(self, text: str) -> None:
        """Take an earlier state, as a power cut or a copy of the journal does."""
        self._text = text

    def update_flow_details(self, detail: Any) -> Any:
        self._flow = detail.to_dict()
        if not self._gathers:
            self.flush()
        return detail

    def update_atom_details(self, atom: Any) -> Any:
        if atom.state != states.PENDING:
            self._atoms[atom.uuid] = atom.to_dict()
        boundary = atom.state in BOUNDARIES
        if not self._gathers or (boundary and (self._progressed or atom.state != states.RUNNING)):
            self.flush()
        self._progressed = self._progressed or atom.state != states.PENDING
        return atom
