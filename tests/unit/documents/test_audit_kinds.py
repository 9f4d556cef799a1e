# SPDX-License-Identifier: Apache-2.0
"""docs/audit.rst has the table of kinds that ``python -m worker.audit.every_kind`` prints."""

from __future__ import annotations

import re
from pathlib import Path

from worker.audit import every_kind

DOCUMENT = Path(__file__).parents[3] / "docs" / "audit.rst"


def test_the_table_of_kinds_is_current() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.search(r"\.\. kinds: begin\n\n(.*?)\n\.\. kinds: end\n", text, re.DOTALL)

    assert found is not None
    assert found[1] == every_kind.table()
