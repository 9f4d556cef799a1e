# SPDX-License-Identifier: Apache-2.0
"""Documents are valid reStructuredText, and each row of a table has a line of its own."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from docutils import core, nodes

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "docs/spec", "tests/journals")
    for path in (ROOT / folder).glob("*.rst")
)

_CONTINUED = (",", " and", " or")
"""Ends of a first cell whose text goes on in the next line, which would be a row of its own."""


def parsed(text: str) -> tuple[nodes.document, str]:
    """Return a document, and the warnings about it."""
    warnings = io.StringIO()
    settings = {"warning_stream": warnings, "report_level": 2, "_disable_config": True}
    return core.publish_doctree(text, settings_overrides=settings), warnings.getvalue()


def continued(document: nodes.document) -> list[str]:
    """Return the first cells of rows that end inside a sentence or a list."""
    first = [row[0].astext() for row in document.findall(nodes.row)]
    return [cell for cell in first if cell.endswith(_CONTINUED)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_valid(name):
    document, warnings = parsed((ROOT / name).read_text(encoding="utf-8"))

    assert warnings == ""
    assert continued(document) == []


def test_every_document_is_looked_at():
    assert {"README.rst", "docs/operator.rst", "docs/spec/volume-rpc.rst"} <= {*DOCUMENTS}


@pytest.mark.parametrize(
    "text, fault",
    [
        ("==  ==\na   b\n==  ==\nlonger\n==  ==\n", "Text in column margin"),
        ("``open\n", "start-string without end-string"),
        (":file:`name`\n", "Unknown interpreted text role"),
        ("`missing`_\n", "Unknown target name"),
    ],
)
def test_a_fault_is_found(text, fault):
    assert fault in parsed(text)[1]


def test_a_row_that_goes_on_in_the_next_line_is_found():
    document, _warnings = parsed(
        "=======  ====\na        b\n=======  ====\none,     x\nothers   y\n=======  ====\n"
    )

    assert continued(document) == ["one,"]
