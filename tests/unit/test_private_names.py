# SPDX-License-Identifier: Apache-2.0
"""Private parts of libraries are used in the compat packages only.

The source of every module is searched for private names (one leading underscore) that are
not defined in this repository: imported, read as attributes, or named in ``getattr`` and its
like. Subclasses of a library's classes may not define a private name that a base has too.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("worker", "flows", "drivers")
COMPAT = tuple(ROOT / package / "compat" for package in PACKAGES)

PUBLIC = {
    # Documented in spite of their underscores.
    *("_asdict", "_mapping"),  # of SQLAlchemy's rows
    *("_exit", "_current_frames"),  # of os and sys
    "_name_id",  # a column of Cinder's volumes
}


@functools.cache
def sources() -> Mapping[Path, ast.Module]:
    """Return the code of each module outside compat."""
    return {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if not any(path.is_relative_to(compat) for compat in COMPAT)
    }


@pytest.fixture(autouse=True, scope="module")
def _forgotten() -> Iterator[None]:
    """Free the code at the end: each full collection of garbage would read its million nodes."""
    yield
    for cached in (sources, bodies):
        cached.cache_clear()


def is_private(name: str) -> bool:
    """Return whether a name has one leading underscore."""
    return name.startswith("_") and not name.startswith("__")


def is_ours(module: str) -> bool:
    """Return whether a module is of this repository."""
    return module.partition(".")[0] in PACKAGES


def defined(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module binds: functions, classes, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


@functools.cache
def ours() -> frozenset[str]:
    """Return the private names that may be used."""
    found = {name for tree in sources().values() for name in defined(tree) if is_private(name)}
    return frozenset(found | PUBLIC)


def foreign_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield imports of private modules, or of private names, of libraries."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if not is_ours(name) and any(map(is_private, name.split("."))):
                yield node.lineno, name


def foreign_attributes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield uses of private attributes that no module of this repository defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in ours():
            yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
            if node.func.id in ("getattr", "hasattr", "setattr", "delattr"):
                for name in names:
                    if is_private(str(name)) and name not in ours():
                        yield node.lineno, ast.unparse(node)


@pytest.mark.parametrize("find", [foreign_imports, foreign_attributes])
def test_private_names_of_libraries_are_used_in_compat_only(find: object) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path, tree in sources().items()
        for line, text in find(tree)  # type: ignore[operator]
    ]

    assert found == []


# -- subclasses ------------------------------------------------------------------------


def classes() -> Iterator[type]:
    """Yield the classes of all modules that can be imported here, outside compat."""
    for path in sources():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name.startswith("worker.db.migrations"):
            continue
        try:
            module = importlib.import_module(name)
        except ImportError as error:  # drivers of libraries that are not installed
            assert not is_ours(str(error.name)), error
            continue
        for found in vars(module).values():
            if inspect.isclass(found) and found.__module__ == name:
                yield found


@functools.cache
def private_attributes(kind: type) -> frozenset[str]:
    """Return the private names that the source of a class defines or assigns."""
    try:
        file = inspect.getsourcefile(kind)
    except TypeError:  # not of Python
        return frozenset()
    found = bodies(file).get(kind.__qualname__, ()) if file else ()  # (): made at run time
    return frozenset(name for body in found for name in defined(body) if is_private(name))


@functools.cache
def bodies(file: str) -> Mapping[str, Sequence[ast.ClassDef]]:
    """Return the classes of a file by their qualified names.

    ``inspect.getsource`` reads the whole file again for each of them.
    """
    found: defaultdict[str, list[ast.ClassDef]] = defaultdict(list)

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                found[prefix + child.name].append(child)
                visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                visit(child, f"{prefix}{child.name}.<locals>.")
            elif isinstance(child, ast.stmt):
                visit(child, prefix)

    visit(ast.parse(Path(file).read_text(encoding="utf-8")), "")
    return found


def is_of_a_library(kind: type) -> bool:
    """Return whether a class is neither ours nor Python's own."""
    top = kind.__module__.partition(".")[0]
    return not is_ours(kind.__module__) and top not in sys.stdlib_module_names


def test_subclasses_override_no_private_name_of_a_library() -> None:
    clashes = []
    for kind in classes():
        for base in filter(is_of_a_library, kind.__mro__):
            for name in private_attributes(kind) & private_attributes(base):
                clashes.append(f"{kind.__module__}.{kind.__name__}.{name} of {base.__name__}")

    assert clashes == []


def test_the_search_finds_private_names() -> None:
    tree = ast.parse(
        "from oslo_messaging._drivers import amqp\n"
        "from taskflow import _private\n"
        "driver = transport._no_such_name\n"
        "pool = getattr(driver, '_no_such_pool', None)\n"
    )

    assert [line for line, _ in foreign_imports(tree)] == [1, 2]
    assert [line for line, _ in foreign_attributes(tree)] == [3, 4]
