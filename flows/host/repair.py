# SPDX-License-Identifier: Apache-2.0
"""Repair one row, or a few, that an audit found.

=======  ================================================================
task     does
=======  ================================================================
repair   one of :data:`REPAIRS`, if the rows still are as the audit saw them
=======  ================================================================

Nothing is reverted: each repair is one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskflow.patterns import linear_flow

from flows.context import RepairContext
from flows.engine.compiled_flows import RESULT
from flows.factories import registered
from flows.lifecycle import Step

LOG = logging.getLogger(__name__)

REPAIRS = (
    *("settle_attachments", "end_attachment", "sync_quota", "expire_reservation"),
    *("drop_work_row", "count_dependants", "remove_cache_entry"),
)
"""Names of the repairs, which are those of the methods of ``RowRepairs``."""


class RepairRows(Step, task="repair"):
    """Repair rows. Idempotent: rows that were repaired are not as the audit saw them."""

    bookkeeping = True
    default_provides = RESULT

    def execute(self, ctx: RepairContext, repair: str, arguments: Mapping[str, Any]) -> bool:
        if repair not in REPAIRS:
            raise ValueError(f"there is no repair {repair}")
        changed: bool = getattr(ctx.repairs, repair)(**arguments)
        LOG.info("repair %s %s: %s", repair, dict(arguments), "done" if changed else "not needed")
        return changed


@registered
def flow() -> linear_flow.Flow:
    """Repair rows. Needs the name of the ``repair`` and its ``arguments``."""
    return linear_flow.Flow("repair").add(RepairRows())
