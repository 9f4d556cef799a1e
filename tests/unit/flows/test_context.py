# SPDX-License-Identifier: Apache-2.0
"""Each family of flows has the context that it needs, and the worker's object fits all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from flows import context
from tests.unit.flows.world.world import World

FAMILIES = [
    context.VolumeContext,
    context.InstanceContext,
    context.DataContext,
    context.ConnectionContext,
    context.ImageContext,
    context.CreateContext,
    context.ImageCloneContext,
    context.ImageCacheContext,
    context.BackupSourceContext,
    context.MigrationContext,
    context.GroupContext,
    context.HostContext,
]
MOST = 30
"""Fields of the widest context of a family."""


@pytest.mark.parametrize("family", [*FAMILIES, context.BackupContext], ids=lambda f: f.__name__)
def test_a_family_sees_few_fields(family: type) -> None:
    assert len(dataclasses.fields(family)) <= MOST


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_one_object_is_a_context_of_every_family(family: type, tmp_path: Path) -> None:
    assert isinstance(World(tmp_path).context(), family)


def test_a_run_replaces_its_progress_and_key(tmp_path: Path) -> None:
    reported: list[float] = []
    given = World(tmp_path).context()
    ctx = dataclasses.replace(given, progress=reported.append, key="flow")
    ctx.progress(0.5)

    assert (reported, ctx.key, given.key) == ([0.5], "flow", "")
    assert type(ctx) is type(given)
