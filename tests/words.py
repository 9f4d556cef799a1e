# SPDX-License-Identifier: Apache-2.0
"""Measure vague words in docstrings, comments, messages and documentation.

``python -m tests.words`` counts three families of words per 1,000 words of each group
of texts, and exits with 1 when a figure exceeds its ceiling. ``--files`` prints the
counts of each file, ``--lines`` every line with such a word; both accept paths that
limit the output to these files or directories.

A ceiling may be lowered, never raised.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

FAMILIES = {
    "what": re.compile(r"\bwhat\b", re.IGNORECASE),
    "tell": re.compile(r"\b(?:tell|tells|telling|told)\b", re.IGNORECASE),
    "nobody": re.compile(
        r"\b(?:somebody|nobody|whoever|anybody|someone|anyone|no one)\b", re.IGNORECASE
    ),
}

CEILINGS: dict[str, dict[str, float]] = {
    # Uses per 1,000 words.
    "code": {"what": 0.2, "tell": 0.2, "nobody": 0.1},
    "messages": {"what": 0.1, "tell": 0.1, "nobody": 0.1},
    "tests": {"what": 0.6, "tell": 0.2, "nobody": 0.1},
    "docs": {"what": 0.1, "tell": 0.1, "nobody": 0.1},
}

_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
_INLINE_LITERAL = re.compile(r"``[^`]+``")
_LITERAL_BLOCK = re.compile(r"^(?!\s*\.\. ).*::\s*$|^\s*\.\. (?:code|parsed-literal)")
_MARKER = re.compile(r"#\s*(?:noqa|type:|SPDX|pragma|isort|nosec)")
_PROSE = 3  # a literal of fewer words is a name or a format, not a text for a reader
_WORST = 5  # files that a failure names

Line = tuple[int, str]


@dataclass(frozen=True)
class Texts:
    """The measured lines of one file."""

    path: str
    lines: tuple[Line, ...]

    @property
    def words(self) -> int:
        """The number of words in these lines."""
        return sum(len(_WORD.findall(text)) for _, text in self.lines)

    def uses(self, family: str) -> int:
        """The number of words that belong to the family."""
        return sum(len(FAMILIES[family].findall(text)) for _, text in self.lines)


def code_lines(source: str) -> Iterator[Line]:
    """Yield the lines of docstrings, attribute docstrings and comments."""
    for node in ast.walk(ast.parse(source)):
        if _is_docstring(node):
            yield from enumerate(node.value.value.splitlines(), node.value.lineno)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not _MARKER.match(token.string):
            yield token.start[0], token.string


def message_lines(source: str) -> Iterator[Line]:
    """Yield the string literals that read as prose: log lines, error texts, help texts."""
    tree = ast.parse(source)
    docstrings = {node.value for node in ast.walk(tree) if _is_docstring(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if node not in docstrings and len(_WORD.findall(node.value)) >= _PROSE:
            yield from enumerate(node.value.splitlines(), node.lineno)


def document_lines(source: str) -> Iterator[Line]:
    """Yield the lines of a reStructuredText document without its literal blocks."""
    block: int | None = None  # the indentation of the paragraph that a literal block follows
    for number, line in enumerate(source.splitlines(), 1):
        indent = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indent <= block:
            block = None
        if block is None:
            yield number, line
            if _LITERAL_BLOCK.search(line):
                block = indent


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@dataclass(frozen=True)
class Group:
    """Files whose texts are measured together."""

    patterns: tuple[str, ...]
    lines: Callable[[str], Iterable[Line]]

    def files(self) -> Iterator[Texts]:
        """Yield the texts of every file of the group."""
        for path in sorted(path for pattern in self.patterns for path in ROOT.glob(pattern)):
            found = self.lines(path.read_text(encoding="utf-8"))
            lines = tuple((number, _INLINE_LITERAL.sub("", text)) for number, text in found)
            yield Texts(str(path.relative_to(ROOT)), lines)


_PRODUCT = ("worker/**/*.py", "flows/**/*.py", "drivers/**/*.py")
GROUPS = {
    "code": Group(_PRODUCT, code_lines),
    "messages": Group(_PRODUCT, message_lines),
    "tests": Group(("tests/**/*.py", "bench/**/*.py"), code_lines),
    "docs": Group(("README.rst", "CONTRIBUTING.rst", "docs/**/*.rst"), document_lines),
}


def rate(files: Sequence[Texts], family: str) -> float:
    """The uses of a family per 1,000 words."""
    words = sum(texts.words for texts in files)
    return 1000 * sum(texts.uses(family) for texts in files) / max(words, 1)


def excesses(group: str, files: Sequence[Texts]) -> Iterator[str]:
    """Describe each figure of the group that exceeds its ceiling, with the worst files."""
    for family, ceiling in CEILINGS[group].items():
        measured = rate(files, family)
        if measured > ceiling:
            worst = sorted(files, key=lambda texts: -texts.uses(family))[:_WORST]
            named = ", ".join(f"{texts.path} ({texts.uses(family)})" for texts in worst)
            figures = f"{measured:.2f} > {ceiling:.2f} per 1,000 words"
            yield f"{group}: {family} {figures}; most in {named}"


def print_files(group: str, files: Iterable[Texts]) -> None:
    """Print the counts of each file that has any, the highest sum first."""
    counted = [(texts, {family: texts.uses(family) for family in FAMILIES}) for texts in files]
    for texts, counts in sorted(counted, key=lambda each: -sum(each[1].values())):
        if any(counts.values()):
            cells = "  ".join(f"{family} {count:3}" for family, count in counts.items())
            print(f"{group:8}  {cells}  of {texts.words:5} words  {texts.path}")


def print_lines(files: Iterable[Texts]) -> None:
    """Print every line that contains a word of any family."""
    for texts in files:
        for number, text in texts.lines:
            if any(family.search(text) for family in FAMILIES.values()):
                print(f"{texts.path}:{number}: {text.strip()}")


def main(argv: Sequence[str]) -> int:
    """Check the ceilings, or print the offending files or lines."""
    parser = argparse.ArgumentParser(prog="python -m tests.words", description=__doc__)
    parser.add_argument("--files", action="store_true", help="print the counts of each file")
    parser.add_argument("--lines", action="store_true", help="print the offending lines")
    parser.add_argument("paths", nargs="*", help="limit --files and --lines to these paths")
    args = parser.parse_args(argv)
    failures: list[str] = []
    for name, group in GROUPS.items():
        files = list(group.files())
        chosen = [t for t in files if not args.paths or t.path.startswith(tuple(args.paths))]
        if args.files:
            print_files(name, chosen)
        elif args.lines:
            print_lines(chosen)
        else:
            figures = ", ".join(f"{family} {rate(files, family):.2f}" for family in FAMILIES)
            print(f"{name}: {figures} per 1,000 words")
            failures += excesses(name, files)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
