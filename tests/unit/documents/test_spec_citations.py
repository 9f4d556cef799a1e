# SPDX-License-Identifier: Apache-2.0
"""Citations of docs/spec lead to a section, and documents name code that exists.

A citation is ``spec/<document>`` with numbered sections (``spec/service §1, §2``), or with
named ones (``spec/volume-rpc, create_volume``; a title may stand between asterisks), or
``seeds, <Interface>.<method>``.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SPEC = ROOT / "docs" / "spec"
CODE = ("worker", "flows", "drivers", "tests", "bench")
DOCUMENTS = (
    *(ROOT / name for name in ("README.rst", "CONTRIBUTING.rst")),
    *sorted((ROOT / "docs").glob("**/*.rst")),
)

_SECTION = re.compile(r"^(\d+(?:\.\d+)?)\. |^(\d+\.\d+) ")
_NUMBER = r"§\d+(?:\.\d+)?(?:,? no\. ?\d+)?"
_NAME = r"(?:\*[^*]+\*|[a-z]+(?:_[a-z]+)+|retype|reimage|failover)(?![\w/]|\.\w)(?: \d+\b)?"
_CITATION = re.compile(
    rf"\bspec/(?![\w-]+\.rst)(?P<document>[a-z][a-z-]*)"
    rf"(?P<numbers> {_NUMBER}(?:(?:, | and ){_NUMBER})*)?"
    rf"(?P<names>(?:, {_NAME}(?:(?:, | and ){_NAME})*))?"
    rf"(?P<step>, step \w+|, steps \d+ and \d+)?"
    rf"(?P<row>, the row \*[^*]+\*)?"
)
_SEED = re.compile(
    r"(?<![\w.])[Ss]eeds?, (?P<names>(?:[A-Za-z_]+(?:\.[a-z_]+)?(?:, |; | and |(?=[.;,]|$)))+)"
)
_CODE_NAME = re.compile(r"``((?:worker|flows|drivers|tests|bench)(?:/[\w./-]+|(?:\.\w+)+))``")


@dataclass
class Section:
    """One section of a document, with its text up to the next title of the same level."""

    title: str
    level: str
    text: str = ""

    @property
    def number(self) -> str:
        """The number with which the title begins, or an empty text."""
        found = _SECTION.match(self.title)
        return (found[1] or found[2]) if found else ""

    @property
    def names(self) -> set[str]:
        """The words of the title that a citation may name."""
        return set(re.findall(r"\w+", self.title))

    def has_row(self, label: str) -> bool:
        """Say whether a table of the section has a row that begins with a label."""
        return re.search(rf"^(?:\| )?{re.escape(label)}\b", self.text, re.MULTILINE) is not None


@dataclass(frozen=True)
class Citation:
    """A citation, with the place where it stands."""

    where: str
    text: str
    document: str
    numbers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    rows: tuple[str, ...] = field(default=())


@cache
def sections(document: str) -> list[Section]:
    """Return the sections of a document of the specification."""
    lines = (SPEC / f"{document}.rst").read_text(encoding="utf-8").splitlines()
    found: list[Section] = []
    for number, line in enumerate(lines[:-1]):
        rule = lines[number + 1]
        underlined = set(rule) in ({"="}, {"-"}) and len(rule) >= len(line)
        if line and underlined and not line.startswith(("=", "-")):
            found.append(Section(line.strip(), rule[0]))
            continue
        for section in open_sections(found):
            section.text += line + "\n"
    return found


def open_sections(found: list[Section]) -> Iterator[Section]:
    """Yield the last section, and the one of the higher level that contains it."""
    if found:
        yield found[-1]
        if found[-1].level == "-":
            yield from [one for one in found if one.level == "="][-1:]


def parsed(text: str, where: str) -> Iterator[Citation]:
    """Yield the citations of a text."""
    flat = re.sub(r"\s*\n[ \t#]*", " ", text)
    for match in _CITATION.finditer(flat):
        numbers = re.findall(r"§(\d+(?:\.\d+)?)", match["numbers"] or "")
        rows = re.findall(r"no\. ?(\d+)", match["numbers"] or "")
        names = re.findall(_NAME, match["names"] or "")
        rows += [name.split()[1] for name in names if re.search(r"^\w+ \d+$", name)]
        rows += re.findall(r"\b\d+\w?\b", match["step"] or "")
        rows += re.findall(r"\*(.+)\*", match["row"] or "")
        names = [re.sub(r" \d+$", "", name) for name in names]
        yield Citation(where, match[0], match["document"], (*numbers,), (*names,), (*rows,))
    for match in _SEED.finditer(flat):
        words = re.findall(r"[A-Za-z_]+(?:\.[a-z_]+)?", match["names"])
        names = [word for word in words if re.search(r"[A-Z]\w+[A-Z]|_|\.", word)]
        if names:
            yield Citation(where, match[0], "seeds", names=(*names,))


def files() -> Iterator[Path]:
    """Yield every file that may cite the specification."""
    own = Path(__file__)
    for directory in CODE:
        yield from (p for p in sorted((ROOT / directory).glob("**/*.py")) if p != own)
    yield from (path for path in DOCUMENTS if path.name != "index.rst")


def citations() -> Iterator[Citation]:
    """Yield every citation of the repository."""
    for path in files():
        yield from parsed(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))


def broken(citation: Citation) -> list[str]:
    """Return the parts of a citation that lead nowhere."""
    if not (SPEC / f"{citation.document}.rst").exists():
        return [f"no docs/spec/{citation.document}.rst"]
    if citation.document == "seeds":
        return [name for name in citation.names if not is_seed(name)]
    known = sections(citation.document)
    reached = [s for s in known if s.number and s.number in citation.numbers]
    missing = [f"§{n}" for n in citation.numbers if n not in {s.number for s in known}]
    for name in citation.names:
        named = [s for s in known if name in (f"*{s.title}*", *s.names) or s.has_row(name)]
        reached += named
        if not named:
            missing.append(name)
    return missing + [row for row in citation.rows if not any(s.has_row(row) for s in reached)]


def is_seed(name: str) -> bool:
    """Say whether an interface, a method of one, or a method alone is in the index."""
    interface, _, method = name.rpartition(".")
    if not interface and name[0].isupper():
        return any(s.title == name for s in sections("seeds"))
    for section in sections("seeds"):
        if method in re.findall(r"\w+", section.text) and (
            not interface or section.title == interface or interface in section.text
        ):
            return True
    return False


def test_the_repository_cites_the_specification():
    found = list(citations())

    assert len({c.where for c in found}) > 100
    assert {c.document for c in found} == {path.stem for path in SPEC.glob("*.rst")} - {"index"}


def test_every_citation_leads_to_a_section():
    failures = [f"{c.where}: {c.text!r}: {broken(c)}" for c in citations() if broken(c)]

    assert failures == []


@pytest.mark.parametrize(
    "text",
    [
        "spec/volume-rpc §9",
        "spec/volume-rpc §2 and §11",
        "spec/volume-rpc, create_volum_e",
        "spec/volume-rpc, create_volume 11",
        "spec/volume-rpc, delete_volume, step 4d",
        "spec/volume-rpc, *Replication*",
        "spec/volume-rpc §8, the row *per column*",
        "spec/interfaces §9, no. 18",
        "spec/interfaces §5.10",
        "spec/service §4, steps 8 and 14",
        "spec/nothing §1",
        "seeds, VolumeDriverCore.create_nothing",
        "seeds, VolumeDriverCore.create_volume, delete_nothing;",
        "seeds, SomeDriver.create_volume.",
    ],
)
def test_a_broken_citation_is_found(text):
    (citation,) = parsed(text, "here")

    assert broken(citation)


@pytest.mark.parametrize(
    "text, parts",
    [
        ("spec/volume-rpc §1 and §2", 2),
        ("spec/volume-rpc, create_volume 10", 2),
        ("spec/volume-rpc, delete_volume, step 4b", 2),
        ("spec/volume-rpc, *Replication and maintenance*", 1),
        ("spec/interfaces §9 no. 17", 2),
        ("spec/service §4, steps 8 and 9", 3),
        ("seeds, VolumeDriverCore.create_volume, create_volume_from_snapshot;", 2),
        ("seeds, VolumeDriverCore; spec/interfaces §8", 1),
    ],
)
def test_each_part_of_a_citation_is_checked(text, parts):
    found = list(parsed(text, "here"))

    assert sum(len(c.numbers) + len(c.names) + len(c.rows) for c in found if c is found[0]) == parts
    assert not any(broken(citation) for citation in found)


def test_an_attribute_is_no_citation():
    assert list(parsed("Plan(options.seed, options.only, length)", "here")) == []


def code_names() -> list[tuple[str, str]]:
    """Return the paths and dotted names of code that the documents show."""
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in DOCUMENTS
        for name in _CODE_NAME.findall(path.read_text(encoding="utf-8"))
    ]
    return [(where, name.rstrip("/")) for where, name in found]


def exists(name: str) -> bool:
    """Say whether a path, a module, or an attribute of a module is there."""
    if "/" in name:
        return (ROOT / name).exists() or (ROOT / f"{name}.py").exists()
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ImportError:
        return hasattr(importlib.import_module(module), attribute)
    return True


def test_the_code_that_documents_name_is_there():
    names = code_names()

    assert len(names) > 50
    assert [(where, name) for where, name in names if not exists(name)] == []
