# SPDX-License-Identifier: Apache-2.0
"""An import inside a function has a comment with its reason, or a docstring that gives it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST = 52
"""Imports inside functions; this may be lowered, never raised."""


Found = tuple[Path, ast.FunctionDef, ast.Import | ast.ImportFrom]


@functools.cache
def late_imports() -> tuple[Found, ...]:
    """Return the imports inside functions."""
    return tuple(_late_imports())


def _late_imports() -> Iterator[Found]:
    for package in ("worker", "flows", "drivers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(function, ast.FunctionDef):
                    for node in ast.walk(function):
                        if isinstance(node, ast.Import | ast.ImportFrom):
                            yield path, function, node


def has_reason(lines: list[str], number: int) -> bool:
    """Return whether an import, or the first one of its block, has a comment."""
    while "#" not in lines[number - 1]:
        number -= 1
        before = lines[number - 1].strip()
        if not before.startswith(("#", "import ", "from ")):
            return False
    return True


def test_every_late_import_has_a_reason() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, function, node in late_imports()
        if not has_reason(path.read_text(encoding="utf-8").splitlines(), node.lineno)
        and "imported only then" not in (ast.get_docstring(function) or "")
    ]

    assert bare == []


def test_late_imports_do_not_grow_in_number() -> None:
    assert len(late_imports()) <= MOST
