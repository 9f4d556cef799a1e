# SPDX-License-Identifier: Apache-2.0
"""Names of classes and modules of their own, and the sizes of modules and folders."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("worker", "flows", "drivers")

CLASSES = {"InvalidInput"}
"""The error of flows is a subclass of that of drivers: callers get one name."""

ALIASES = {
    "Look": "a variable of types, for the class",
    "MemberUpdates": "answers of drivers, and their checked form",
    "Work": "the functions that a module calls",
}
"""Types that have a name in several modules, with the reason."""

_SUBJECTS = """
attachment audit backends backup backup_source base chains cinder compat compute connection create
db delete encryption errors export group groups host image image_cache journal lifecycle manage
migration monitoring operator_requests optional orphaned quota records remote_services replication
service services slots snapshot volume volumes
"""
SUBJECTS = frozenset(_SUBJECTS.split())
"""Names of several modules: one subject on several levels, one verb of several resources."""


def paths(packages: Sequence[str] = PACKAGES) -> Iterator[Path]:
    for package in packages:
        yield from (path.relative_to(ROOT) for path in sorted((ROOT / package).rglob("*.py")))


def class_names(tree: ast.Module) -> Iterator[str]:
    yield from (node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def alias_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names of types that a module defines by an assignment."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if len(name) > 1 and name[0].isupper() and not name.isupper():
                yield name


def repeated(found: Mapping[str, Sequence[Path]]) -> dict[str, list[str]]:
    return {name: [str(path) for path in at] for name, at in found.items() if len(at) > 1}


def test_classes_and_types_have_names_of_their_own() -> None:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths():
        if path.parts[:2] == ("worker", "cli"):
            continue  # a class for each verb of each noun
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        for name in (*class_names(tree), *alias_names(tree)):
            found[name].append(path)

    known = CLASSES | ALIASES.keys()
    assert {name: at for name, at in repeated(found).items() if name not in known} == {}


def test_modules_with_the_name_of_another_one_are_listed() -> None:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths():
        found[path.parent.name if path.stem == "__init__" else path.stem].append(path)

    assert {name: at for name, at in repeated(found).items() if name not in SUBJECTS} == {}


def test_modules_have_at_most_four_hundred_lines() -> None:
    found = {str(path): len((ROOT / path).read_text().splitlines()) for path in paths()}

    assert {path: count for path, count in found.items() if count > 400} == {}


def test_folders_have_at_most_twelve_modules() -> None:
    found: defaultdict[Path, int] = defaultdict(int)
    for path in paths((*PACKAGES, "tests", "bench")):
        found[path.parent] += path.stem not in ("__init__", "conftest")
    assert found.pop(Path("drivers/interface")) <= 14  # the imports of other people's drivers

    assert {str(folder): count for folder, count in found.items() if count > 12} == {}


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "docs/architecture.rst").read_text(encoding="utf-8")
    found = [path.parent for path in paths() if path.name == "__init__.py"]
    missing = [one for one in found if len(one.parts) == 2 and f"``{one}``" not in text]

    assert [str(one) for one in missing] == []
