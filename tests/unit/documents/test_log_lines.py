# SPDX-License-Identifier: Apache-2.0
"""The log lines that docs/operator.rst explains are those of the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "operator.rst").read_text(encoding="utf-8")
_PLACEHOLDER = re.compile(r"\b[XN]\b|%s")


@cache
def literals() -> str:
    """Return every text of the code; the values that are put into one are marked."""
    found = []
    for package in ("worker", "flows", "drivers"):
        for path in sorted((ROOT / package).glob("**/*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                found.append(text_of(node))
    return "\n".join(filter(None, found))


def text_of(node: ast.AST) -> str:
    """Return the text of a literal; the values of a formatted one are marked."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "{}" for part in node.values)
    return ""


def explained() -> list[str]:
    """Return the lines in the first column of the table."""
    table = TEXT[TEXT.index("meaning and remedy") : TEXT.index("first check")]
    cells = re.findall(r"^\|?\s?(``.+?``(?:, ``.+?``)*)\s", table, re.MULTILINE)
    return [line for cell in cells for line in re.findall(r"``(.+?)``", cell)]


def is_logged(line: str) -> bool:
    """Say whether the code has a text with the parts of a line between its placeholders."""
    outage = re.fullmatch(r"(the .*) is away", line)
    wanted = (outage[1], "%s is away: ") if outage else (line,)
    return all(re.search(pattern(part), literals()) for part in wanted)


def pattern(line: str) -> str:
    """Return a pattern that takes any value in place of a placeholder."""
    return ".{1,40}".join(re.escape(part) for part in _PLACEHOLDER.split(line))


def test_the_table_explains_lines():
    assert len(explained()) > 30


@pytest.mark.parametrize("line", explained())
def test_an_explained_line_is_logged(line):
    assert is_logged(line)


@pytest.mark.parametrize("line", ["backend X never came up", "the moon is away"])
def test_a_line_that_the_code_does_not_have_is_found(line):
    assert not is_logged(line)
