# SPDX-License-Identifier: Apache-2.0
"""Only the enums spell statuses, and only tables say which status an operation writes."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from drivers.interface.image import ImageStatus
from flows import statuses
from flows.group.lifecycle import GroupOperation
from flows.group.replicate import ReplicationChange
from flows.lifecycle import Statuses
from flows.snapshot.lifecycle import SnapshotOperation

ROOT = Path(__file__).parents[2]

ENUMS: dict[str, type[StrEnum]] = {
    name: found
    for name, found in vars(statuses).items()
    if isinstance(found, type) and issubclass(found, StrEnum) and found is not StrEnum
}
WORDS = {str(status) for enum in (*ENUMS.values(), ImageStatus) for status in enum}

COLUMNS = {"deleted", "disabled", "reserved"}
"""Words that are names of columns as well: they count where a status is expected."""

ALLOWED = {
    (
        "drivers/backup/transfer/recorded_backups.py",
        "creating",
    ): "such a row has no count yet",
    ("drivers/volume/consumer_host.py", "attached"): "an attachment is only read",
    ("flows/host/failover.py", "active"): "a field of a driver's answer",
    ("flows/host/failover_answer.py", "active"): "the same",
    ("flows/statuses.py", "target:"): "where the row of a target begins its status",
    ("worker/cli/config.py", "error"): "how grave a problem of the configuration is",
    ("worker/cli/hosts/services.py", "disabled"): "whether schedulers choose a service",
    ("worker/cli/hosts/services.py", "enabled"): "the same",
    ("worker/cli/volume.py", "enabled"): "whether a service takes requests, in the list of them",
    ("worker/cli/lookup/reasons.py", "error"): "a part of the names of statuses",
    ("worker/explanation/next_steps.py", "error"): "a part of the names of statuses",
    ("worker/conf/cinder/review.py", "enabled"): "an option of Cinder",
    ("worker/conf/check/monitoring.py", "enabled"): "an option of traces",
    ("worker/conf/option_groups/tracing.py", "enabled"): "the same",
    ("worker/conf/option_groups/image.py", "enabled"): "a value of verify_glance_signatures",
    ("worker/service/flow_contexts/volume.py", "enabled"): "a value of verify_glance_signatures",
    ("worker/rpc/clients/volume.py", "error"): "an argument of migrate_volume_completion",
}
"""File and word of the literals that are no statuses, or only read, with the reason."""

WITHOUT_TABLE = {
    "flows.backup.reset": "the caller names the status",
    "flows.host.freeze": "it disables the service, which is no status",
    "flows.host.repair": "the rows decide which status is right",
    "flows.snapshot.connection": "calls that change no row",
    "flows.volume.connections.connection": "calls that change no status",
    "flows.volume.image_cache.create": "the statuses are those of flows.volume.create",
    "flows.volume.image_cache.evict": "the statuses are those of flows.volume.delete",
    "flows.volume.migration.update_migrated": "it writes the place of the data only",
}
"""Modules of flows that write no status of their own, with the reason."""

_WRITERS = {"transition", "migrate", "set_replication", "move", "change", "replace"}


def trees(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def parents_of(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def literals(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the constants that spell a status outside an enum."""
    parents = parents_of(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if node.value in WORDS or node.value.startswith("target:"):
            if _is_in_enum(node, parents) or _is_name_of_task(parents[node]):
                continue
            if node.value not in COLUMNS or _is_expected_to_be_a_status(node, parents):
                yield node


def _is_in_enum(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    while (node := parents.get(node)) is not None:  # type: ignore[assignment]
        if isinstance(node, ast.ClassDef):
            return any(isinstance(base, ast.Name) and base.id == "StrEnum" for base in node.bases)
    return False


def _is_name_of_task(parent: ast.AST) -> bool:
    return isinstance(parent, ast.keyword) and parent.arg == "task"


def _is_expected_to_be_a_status(node: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    value, parent = node, parents[node]
    while isinstance(parent, ast.Tuple | ast.List | ast.Set | ast.Starred | ast.IfExp):
        value, parent = parent, parents[parent]
    if isinstance(parent, ast.Compare):
        return value is not parent.left or not isinstance(parent.ops[0], ast.In | ast.NotIn)
    if isinstance(parent, ast.keyword):
        return str(parent.arg).endswith("status") or parent.arg in ("to", "when")
    if isinstance(parent, ast.Dict):
        pairs = zip(parent.keys, parent.values, strict=True)
        keys = [key for key, one in pairs if one is value and isinstance(key, ast.Constant)]
        return any(str(key.value).endswith("status") for key in keys)
    if isinstance(parent, ast.Call):
        return isinstance(parent.func, ast.Attribute) and parent.func.attr in _WRITERS
    return False


def test_statuses_are_spelled_in_the_enums_only() -> None:
    found = {
        (path, str(node.value)): node.lineno
        for path, tree in trees("flows", "worker", "drivers")
        for node in literals(tree)
    }

    assert found.keys() - ALLOWED.keys() == set(), found
    assert ALLOWED.keys() - found.keys() == set()


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('x = "in-use"', 1),
        ('"""available"""', 1),
        ('f"target:{volume_id}"', 1),
        ('rows.update(one, status="deleted")', 1),
        ('rows.transition(one, "deleted", when=("deleted",))', 2),
        ('ready = row.status == "deleted"', 1),
        ('ready = row.status in ("deleted", "disabled")', 2),
        ('values = {"status": "deleted"}', 1),
        ('values = {"deleted": True}', 0),
        ('known = "disabled" in columns', 0),
        ('index = ("deleted", "host")', 0),
        ('class Status(StrEnum):\n    ERROR = "error"', 0),
        ('text = "it is available"', 0),
        ('class FinishAttach(Step, task="attached"):\n    pass', 0),
    ],
)
def test_which_literals_count(source: str, count: int) -> None:
    assert len(list(literals(ast.parse(source)))) == count


def named_in_functions(tree: ast.Module) -> Iterator[ast.Attribute]:
    """Yield the members of enums that a function names other than to compare with them."""
    parents = parents_of(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id not in ENUMS:
            continue
        above: ast.AST | None = parents[node]
        while above is not None and not isinstance(above, ast.Compare | ast.FunctionDef):
            above = parents.get(above)
        if isinstance(above, ast.FunctionDef):
            yield node


def test_functions_of_flows_take_statuses_from_tables() -> None:
    found = [
        f"{path}:{node.lineno} {ast.unparse(node)}"
        for path, tree in trees("flows")
        for node in named_in_functions(tree)
    ]

    assert found == []


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("rows.update(one, status=VolumeStatus.ERROR)", 1),
        ("return VolumeStatus.ERROR", 1),
        ("return row.status == VolumeStatus.ERROR", 0),
        ("return row.status in (VolumeStatus.ERROR, VolumeStatus.IN_USE)", 0),
        ("return STATUSES.failed", 0),
    ],
)
def test_which_members_count(body: str, count: int) -> None:
    assert len(list(named_in_functions(ast.parse(f"def step():\n    {body}")))) == count


@functools.cache
def flow_modules() -> list[str]:
    """Return the modules that make flows."""
    return [
        path.removesuffix(".py").replace("/", ".")
        for path, tree in trees("flows")
        if any(
            isinstance(node, ast.FunctionDef)
            and node.returns is not None
            and ast.unparse(node.returns) == "linear_flow.Flow"
            for node in tree.body
        )
    ]


def tables_of(module: ModuleType) -> list[str]:
    """Return the names of a module's tables, also of those that it shares with another one."""
    return [name for name, value in inspect.getmembers(module) if _is_table(value)]


def _is_table(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(key, StrEnum) for key in value)
    return isinstance(value, Statuses | GroupOperation | SnapshotOperation | ReplicationChange)


@pytest.mark.parametrize("name", flow_modules())
def test_every_flow_has_a_table(name: str) -> None:
    found = tables_of(importlib.import_module(name))

    assert bool(found) != (name in WITHOUT_TABLE), found


def test_tables_name_members_of_one_enum_each() -> None:
    for name in flow_modules():
        for table in vars(importlib.import_module(name)).values():
            if not isinstance(table, Statuses):
                continue
            found = {*table.during, table.success, *table.failures} - {None}
            assert len({type(status) for status in found}) == 1, (name, table)
            assert type(found.pop()) in ENUMS.values()


def test_statuses_of_members_that_drivers_report_are_cinders() -> None:
    from drivers.interface.group import MemberStatus

    assert set(MemberStatus) <= set(statuses.VolumeStatus) & set(statuses.SnapshotStatus)
