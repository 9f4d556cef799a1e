# SPDX-License-Identifier: Apache-2.0
"""Repair drift: by casts to the services, by flows on rows, by requests to the journal.

Each repair is a line in ``audit-repairs.log`` in ``state_path``. Casts are in the journal as well.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flows.context import RepairContext
from flows.engine import flow_run
from flows.host import repair
from worker.audit.drift_search import Finding
from worker.cli.access import Access, CommandError
from worker.cli.casting.requests import CastRequest
from worker.cli.casting.waiting import CastWait
from worker.db.records import Records
from worker.db.records.drift_repairs import DriftRepairs
from worker.locks import PREFIX, Locks
from worker.rpc.request_context import RequestContext

LOG_FILE = "audit-repairs.log"
"""The record of repairs, in ``state_path``: one object of JSON a line."""

REPAIRED, NOT_NEEDED = "repaired", "not needed any more"

_TIMEOUT = 300.0
"""Seconds to wait for the end of a cast."""

_OPTIONS = ("snapshot", "volume", "source", "image", "size", "name", "host")
"""Options of a cast that are not given."""


def repair_rows(finding: Finding, records: Records, repairs: DriftRepairs) -> bool:
    """Run the flow that repairs a drift of rows; return whether it changed any.

    :raises CommandError: the flow failed.
    """
    absent: Any = None
    context = RepairContext(
        request=RequestContext.admin(),
        backend=absent,
        notifier=absent,
        repairs=repairs,
        **records.of_flows(),
    )
    args = {"repair": finding.kind.repair, "arguments": dict(finding.drift.facts)}
    outcome = flow_run.run_in_memory(repair.flow, args, context)
    if outcome.failure is not None:
        raise CommandError(outcome.failure.exception_str)
    return bool(outcome.result)


class Repairs:
    """Repairs one drift after another.

    :param write: takes a line for the operator.
    """

    def __init__(self, access: Access, write: Callable[[str], Any]) -> None:
        self._access = access
        self._write = write
        self._by_name: Mapping[str, Callable[[Finding], str]] = {
            "manage_volume_object": self._manage_volume_object,
            "manage_snapshot_object": self._manage_snapshot_object,
            "delete_row": self._delete_row,
            "remove_export": self._remove_export,
            "revert_again": self._revert_again,
            "remove_lock_file": self._remove_lock_file,
        }

    def apply(self, finding: Finding) -> str:
        """Repair a drift, record it, and return the outcome in words."""
        try:
            outcome = self._by_name.get(finding.kind.repair, self._repair_rows)(finding)
        except Exception as error:  # noqa: BLE001 - the others have their turn
            outcome = f"failed: {(str(error).splitlines() or [type(error).__name__])[0]}"
        self._record(finding, outcome)
        return outcome

    def _repair_rows(self, finding: Finding) -> str:
        access = self._access
        counts = not access.conf.no_snapshot_gb_quota
        repairs = DriftRepairs(access.database, count_snapshots=counts)
        return REPAIRED if repair_rows(finding, access.records, repairs) else NOT_NEEDED

    def _manage_volume_object(self, finding: Finding) -> str:
        """Manage the object as a new volume: its data may be the only copy."""
        drift = finding.drift
        name = self._access.conf.volume_name_template % drift.resource_id
        ref, label = [f"source-name={name}"], f"audit: {drift.resource_id}"
        made = self._cast("manage_existing", ref=ref, host=drift.facts["host"], name=label)
        self._write(f"the object {name} is that of volume {made} now")
        return REPAIRED

    def _manage_snapshot_object(self, finding: Finding) -> str:
        """Manage the object as a new snapshot of its volume."""
        facts, label = finding.drift.facts, f"audit: {finding.drift.resource_id}"
        given = {"volume": facts["volume_id"], "ref": [f"source-name={facts['name']}"]}
        made = self._cast("manage_existing_snapshot", **given, name=label)
        self._write(f"the object {facts['name']} is that of snapshot {made} now")
        return REPAIRED

    def _delete_row(self, finding: Finding) -> str:
        kind, resource_id = finding.drift.resource_type, finding.drift.resource_id
        self._cast(f"delete_{kind}", **{kind: resource_id})
        return REPAIRED

    def _remove_export(self, finding: Finding) -> str:
        self._cast("remove_export", volume=finding.drift.resource_id)
        return REPAIRED

    def _revert_again(self, finding: Finding) -> str:
        """Request it of the process that owns the slot of the operation."""
        requests = self._access.journal.requests
        number = requests.ask(finding.drift.facts["slot"], finding.drift.resource_id, "revert")
        until = time.monotonic() + 10.0
        while (answer := requests.answer_of(number)) is None:
            if time.monotonic() > until:
                return "requested; it is done when a process serves the slot"
            time.sleep(0.1)
        return REPAIRED if answer.done else f"failed: {answer.text}"

    def _remove_lock_file(self, finding: Finding) -> str:
        """Take the lock and release it: the last holder removes the file."""
        locks = Locks(self._access.conf.coordination.backend_url, "audit")
        locks.start()
        try:
            with locks.held([finding.drift.resource_id.removeprefix(PREFIX)]):
                return REPAIRED
        finally:
            locks.stop()

    def _cast(self, method: str, **given: Any) -> str:
        """Send a message as ``holdfast cast`` does, wait for its end, and return the resource."""
        options: dict[str, Any] = dict.fromkeys(_OPTIONS)
        options |= {"ref": [], "project": "admin", "unmanage": False, "cascade": False}
        request = argparse.Namespace(**{**options, "method": method, **given})
        sent = CastRequest(self._access, request, {}).send()
        if sent.is_cast:
            CastWait(self._access, sent, self._write).until_end(_TIMEOUT)
        return "" if sent.resource is None else str(sent.resource.id)

    def _record(self, finding: Finding, outcome: str) -> None:
        drift = finding.drift
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "kind": finding.kind.name,
            "repair": finding.kind.repair,
            "resource_type": drift.resource_type,
            "resource_id": drift.resource_id,
            "details": drift.details,
            "outcome": outcome,
        }
        with (Path(self._access.conf.state_path) / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(f"{json.dumps(line)}\n")
