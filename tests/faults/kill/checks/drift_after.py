# SPDX-License-Identifier: Apache-2.0
"""Audit the remains of operations: a fault may add no drift to those of its way."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import SimpleNamespace

from drivers.export.nbd import NbdExport
from drivers.interface.listing import BackendObject
from drivers.volume.local import LocalDriver
from tests.faults.kill.cases.case import Asked
from tests.faults.kill.cases.rows import HOST, NODE
from tests.faults.kill.world import World
from worker.audit.drift_search import Audit, Finding
from worker.audit.every_kind import KINDS
from worker.audit.sources import AuditedBackend, Sources
from worker.db.criteria import BackendRows
from worker.journal.journal import Journal

ARRANGED = {
    "attach_status_differs": "attached volumes are arranged without attachments",
    "attachment_without_export": "volumes in use are arranged without exports",
    "backup_dependents_differ": "parents of backups are arranged with no number of them",
    "export_without_attachment": "the caller of initialize_connection makes the attachment",
    "quota_in_use_differs": "temporary volumes are arranged with quota",
    "volume_in_use_without_attachment": "volumes in use are arranged without attachments",
    "volume_size_differs": "the host that extends an object is missing",
}
"""Kinds of drift that undisturbed operations may end with, and the reason."""

KEPT = {
    ("complete a migration", "migration_target_left"): "an instance may use the copy already",
}
"""Cases, and kinds of drift with which they end where they fail, and the reason."""

_LEFT_BY_DEATH = "lock_file_left"
"""The kind that a fault may add: a process killed after its last commit leaves an empty file."""


class DriftCheck:
    """Audits one world; its rows are new, so that none counts as work in progress for that."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._findings: list[Finding] = []

    def look(self) -> None:
        """Audit now; :meth:`of` refers to this."""
        self._findings = Audit(self._sources, KINDS, lambda: None, recent=-60).run().findings

    def of(self, one: Asked) -> frozenset[str]:
        """Return kind and role of each drift of an operation's resources."""
        ids = {**{value: role for role, value in one.roles.items()}, one.project: "project"}
        return frozenset(
            f"{finding.kind.name} of {ids.get(finding.drift.resource_id, 'its resources')}"
            for finding in self._findings
            if finding.drift.ids & ids.keys()
        )

    def added(self, one: Asked, known: frozenset[str], *, unheard: bool = False) -> list[str]:
        """Return the drift of an operation's resources that a fault has added.

        :param unheard: whether it may not have run at all, so that all is as it was arranged.
        """
        allowed = {_LEFT_BY_DEATH, *(ARRANGED if unheard else ())}
        more = sorted(self.of(one) - known)
        return [text for text in more if text.partition(" ")[0] not in allowed]

    @functools.cached_property
    def _sources(self) -> Sources:
        state = self._world.service.directory / "state"
        return Sources(
            database=self._world.database,
            journal=Journal(f"sqlite:///{self._world.journal_path}"),
            backends=[AuditedBackend(BackendRows(HOST), self._objects)],
            lock_files=state,
            backup_host=NODE,
        )

    def _objects(self) -> Iterator[BackendObject]:
        driver = LocalDriver(SimpleNamespace(), host=HOST)
        driver._files = self._world.files
        driver._export = NbdExport(self._world.volumes / ".exports")
        return driver.list_objects((), ())
