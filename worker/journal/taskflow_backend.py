# SPDX-License-Identifier: Apache-2.0
"""The journal as a persistence backend of taskflow, found by its entry point ``holdfast``.

Any program that knows taskflow reads the journal through it, or runs an engine on it::

    backend = taskflow.persistence.backends.fetch({"connection": "holdfast+sqlite:///…"})

The tables are taskflow's own, and so is all reading; writing goes through
:class:`worker.journal.progress.FlowProgress`: one prepared statement for each change of
state, and only changes. The service itself uses that directly, flow by flow.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from taskflow import states
from taskflow.persistence.backends import impl_sqlalchemy
from taskflow.persistence.models import FlowDetail

from flows.compat.taskflow import upgrade_lock
from worker import database_url
from worker.journal.journal import Journal
from worker.journal.progress import FlowProgress

SCHEME = "holdfast"

_AT_REST = (states.SUCCESS, states.REVERTED, states.FAILURE, states.SUSPENDED)


class JournalBackend(impl_sqlalchemy.SQLAlchemyBackend):  # type: ignore[misc]
    """A journal.

    :param conf: ``connection``: an SQLAlchemy URL behind ``holdfast+``.
    """

    def __init__(self, conf: dict[str, Any], engine: sa.Engine | None = None) -> None:
        given = str(conf["connection"]).removeprefix(f"{SCHEME}+")
        url = database_url.parse(given).render_as_string(hide_password=False)
        super().__init__({**conf, "connection": url}, engine)
        self.journal = Journal(url)
        # An engine opens a connection for each write: gathered changes are kept here.
        self.progress: dict[str, FlowProgress] = {}
        self.flow_of: dict[str, str] = {}

    def get_connection(self) -> JournalConnection:
        """Open a connection; there is nothing to upgrade in it but the journal."""
        return JournalConnection(self, upgrade_lock=upgrade_lock(self))

    def close(self) -> None:
        """Drop the connections."""
        self.journal.close()
        super().close()


class JournalConnection(impl_sqlalchemy.Connection):  # type: ignore[misc]
    """A connection whose writes gather changes and write them at task boundaries."""

    def __init__(self, backend: JournalBackend, upgrade_lock: Any) -> None:
        super().__init__(backend, upgrade_lock=upgrade_lock)
        self._journal = backend.journal
        self._progress = backend.progress
        self._flow_of = backend.flow_of

    def upgrade(self) -> None:
        """Create or migrate the tables."""
        self._journal.upgrade()

    def update_flow_details(self, flow_detail: FlowDetail) -> FlowDetail:
        """Take a change of a flow's state; written at once where the flow comes to rest."""
        flow = flow_detail.uuid
        if flow not in self._progress:
            self._progress[flow] = self._journal.progress(self._journal.load(flow))
        self._flow_of.update((atom.uuid, flow) for atom in flow_detail)
        progress = self._progress[flow]
        progress.update_flow_details(flow_detail)
        if flow_detail.state in _AT_REST:
            progress.flush()
            del self._progress[flow]
            for atom in flow_detail:
                self._flow_of.pop(atom.uuid, None)
        return flow_detail

    def update_atom_details(self, atom_detail: Any) -> Any:
        """Take a change of a task; written when it is about to run or to be undone."""
        flow = self._flow_of.get(atom_detail.uuid)
        if flow is None:
            return super().update_atom_details(atom_detail)
        return self._progress[flow].update_atom_details(atom_detail)
