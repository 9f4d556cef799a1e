# SPDX-License-Identifier: Apache-2.0
"""Many volumes of one image at once: it is read once, and a kill in between leaves nothing."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivers.image.directory import DirectoryImages
from drivers.interface.records import Record
from tests.functional.cloud import BACKEND, HOST, Cloud
from tests.functional.service import Service
from tests.servers import until
from worker.db import models

INTERNAL = "c" * 32
VOLUMES = 6
DATA = os.urandom(1 << 20) * 20


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    options = {
        "image_service": "tests.functional.local_driver.slow_images.SlowImages",
        "image_directory": tmp_path / "kept",
        "cinder_internal_tenant_project_id": INTERNAL,
        "cinder_internal_tenant_user_id": INTERNAL,
        "executor_thread_pool_size": 2,
    }
    volumes = {"local_path": str(tmp_path / "volumes"), "image_volume_cache_enabled": True}
    backend = {"volume_driver": "local", **volumes}
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    made = Cloud(volume_service, rabbit_url, database, tmp_path, backend, DEFAULT=options)
    made.service.start()
    yield made
    made.close()


def rows(cloud: Cloud, table: str) -> list[dict[str, object]]:
    wanted = models.metadata.tables[table].select()
    return [row._asdict() for row in cloud.database.rows(wanted)]


def test_an_image_is_read_once_for_all(cloud: Cloud, tmp_path: Path) -> None:
    images = DirectoryImages(SimpleNamespace(image_directory=str(tmp_path / "kept")))
    known = {"name": "linux", "disk_format": "raw", "container_format": "bare"}
    image = images.create(None, known, iter([DATA]))
    volumes = [cloud.volume(host=f"{HOST}#{BACKEND}", size=1 + n % 2) for n in range(VOLUMES)]
    for volume in volumes:
        cloud.cast("create_volume", volume=volume, request_spec={"image_id": image["id"]})
    find = functools.partial(cloud.records.volumes.list, project_id=INTERNAL)
    until(lambda: bool(find(status="downloading")), 60, "the image is not read")
    quick = cloud.volume(host=f"{HOST}#{BACKEND}")
    cloud.cast("create_volume", volume=quick)
    cloud.wait_status(quick, "available")  # those that wait hold no thread
    cloud.service.kill()
    cloud.service.start()

    made: list[Record | None] = [cloud.wait_status(volume, "available") for volume in volumes]
    cloud.wait_idle()
    [cached] = find()
    assert (cached.status, cached.size, cached.bootable) == ("available", 1, False)
    assert [row["volume_id"] for row in rows(cloud, "image_volume_cache_entries")] == [cached.id]
    for volume in made:
        assert volume is not None and volume.bootable
        path = tmp_path / "volumes" / volume.name
        assert path.stat().st_size == volume.size << 30
        assert path.open("rb").read(len(DATA)) == DATA
    fills = [one for one in cloud.entries() if one.method == "fill_image_cache"]
    assert [one.resource for one in fills] == [f"volume {cached.id}"]
    usages = [row for row in rows(cloud, "quota_usages") if row["project_id"] == INTERNAL]
    used = {row["resource"]: row["in_use"] for row in usages}
    assert (used["volumes"], used["gigabytes"]) == (1, 1)
    files = {path.name for path in (tmp_path / "volumes").glob("volume-*")}
    assert files == {v.name for v in (*volumes, quick, cached)}
