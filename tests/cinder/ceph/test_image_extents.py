# SPDX-License-Identifier: Apache-2.0
"""Changed extents of images of Ceph, over a stand-in for its bindings."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.interface.records import Record  # noqa: E402
from tests import ceph  # noqa: E402
from tests.ceph import MODULES  # noqa: E402
from tests.conformance import cinders  # noqa: E402

GIB = 1024**3
BLOCK = 4096
SINCE = Record(
    "snapshot", {"id": "s1", "name": "snapshot-s1", "volume_id": "v", "volume_name": "volume-v"}
)


@pytest.fixture(scope="module")
def extents() -> Any:
    """The module, in a process that is prepared for Cinder."""
    cinders.load("cinder.volume.drivers.rbd.RBDDriver")
    return importlib.import_module("drivers.cinder.optional.image_extents")


@pytest.fixture
def driver() -> Iterator[Any]:
    """The adapter of a driver, with an image that was written to before and after a snapshot."""
    with ceph.in_memory() as directory:
        conf = ceph.cluster(directory, "volumes")
        ceph.make_image(conf, "volumes", "volume-v", GIB)
        client = MODULES.rados.Rados(conffile=str(conf))
        client.connect()
        pool = client.open_ioctx("volumes")
        with MODULES.rbd.Image(pool, "volume-v") as image:
            image.write(b"a" * BLOCK, 0)
            image.create_snap("snapshot-s1")
            image.write(b"b" * BLOCK, 8 * BLOCK)
            for name in ("snapshot-s2", "volume-clone.clone_snap"):
                image.create_snap(name)
            image.write(b"c" * BLOCK, 9 * BLOCK)
        made = SimpleNamespace(
            rbd=MODULES.rbd,
            _connect_to_rados=lambda: (client, pool),
            _disconnect_from_rados=lambda *_: None,
        )
        yield SimpleNamespace(_made=made)


def volume(name: str, **columns: Any) -> Record:
    known = {"id": name, "name": f"volume-{name}", "size": 1, "snapshot_id": None}
    return Record("volume", {**known, "source_volid": None, **columns})


EARLY, LATE = [(8 * BLOCK, 9 * BLOCK)], [(8 * BLOCK, 10 * BLOCK)]


def test_only_the_driver_of_ceph_has_them(extents: Any) -> None:
    rbd, nfs = (cinders.load(f"cinder.volume.drivers.{one}") for one in ("rbd.RBDDriver", _NFS))
    assert rbd.changed_extents is extents.changed_extents
    assert not extents.methods(nfs.cinders)


_NFS = "nfs.NfsDriver"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (volume("v"), LATE),
        (volume("v", size=2), [*LATE, (GIB, 2 * GIB)]),
        (volume("temporary", snapshot_id="s2"), EARLY),
        (volume("clone", source_volid="v"), EARLY),
        (volume("other"), None),
        (volume("other", snapshot_id="of another volume"), None),
        (
            Record(
                "snapshot",
                {"id": "s2", "name": "snapshot-s2", "volume_id": "v", "volume_size": 1},
            ),
            EARLY,
        ),
    ],
    ids=["volume", "larger", "of a snapshot", "clone", "other", "of another snapshot", "snapshot"],
)
def test_extents_are_those_since_the_snapshot(
    extents: Any, driver: Any, source: Record, wanted: Any
) -> None:
    assert extents.changed_extents(driver, source, SINCE) == wanted


def test_a_snapshot_that_is_gone_leaves_them_unknown(extents: Any, driver: Any) -> None:
    gone = SINCE.replace(id="s9", name="snapshot-s9")
    assert extents.changed_extents(driver, volume("v"), gone) is None
    other = SINCE.replace(volume_name="volume-gone")
    assert extents.changed_extents(driver, volume("v"), other) is None
