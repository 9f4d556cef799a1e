# SPDX-License-Identifier: Apache-2.0
"""All kinds of drift, and the table of them in ``docs/audit.rst``.

``python -m worker.audit.every_kind`` prints the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from worker.audit.drift import Kind
from worker.audit.kinds import (
    attached_volumes,
    backup_rows,
    journal_entries,
    key_rows,
    owner_rows,
    quota_usage,
    snapshot_objects,
    stored_backups,
    volume_objects,
    work_rows,
)
from worker.audit.sources import Look

_MODULES = (
    *(volume_objects, snapshot_objects, attached_volumes, owner_rows, key_rows),
    *(journal_entries, work_rows, quota_usage, backup_rows, stored_backups),
)


def _of_modules() -> Iterator[Kind[Look]]:
    for module in _MODULES:
        yield from (value for value in vars(module).values() if isinstance(value, Kind))


KINDS: Sequence[Kind[Look]] = tuple(_of_modules())
"""All kinds, by subject."""


def table() -> str:
    """Return the kinds as a table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    heads = ("kind", "compared", "meaning", "remedy", "``--fix``")
    for cells in (heads, *map(_cells, KINDS)):
        lines += [f"   {'*' if n == 0 else ' '} - {cell}" for n, cell in enumerate(cells)]
    return "\n".join(lines) + "\n"


def _cells(kind: Kind[Look]) -> Sequence[str]:
    fix = f"yes: {kind.repair}" if kind.repair else "no"
    return f"``{kind.name}``", kind.subject, kind.meaning, kind.remedy, fix


if __name__ == "__main__":
    sys.stdout.write(table())
