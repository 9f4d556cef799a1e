# SPDX-License-Identifier: Apache-2.0
"""Drivers of Cinder's at work: NFS and Ceph, by the conformance suite and in a service.

LVM is tried in a service where the kernel has a device mapper, and the target and the
initiator of iSCSI or of NVMe over TCP.

The service is a process of its own over RabbitMQ, as an operator runs it; the data is
read and written by QEMU's and by Ceph's own means, or through a disk of this host.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.interface.records import Record  # noqa: E402
from tests.cinder.drivers import devices, places  # noqa: E402
from tests.conformance.backend import CONNECTOR  # noqa: E402
from tests.conformance.devices import Device  # noqa: E402
from tests.functional.backups.backup_cloud import BackupCloud  # noqa: E402
from tests.functional.cloud import BACKEND, Cloud  # noqa: E402
from tests.servers import until  # noqa: E402

GIB = 1024**3
ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a share"),
    pytest.mark.timeout(3000),
]

_NOT_REPEATED = "Cinder's manager calls it once; the flow deletes first what a kill left"
_NOT_CHECKED = "it does not look whether the volume is there"
_API = "Cinder's API has checked it before"
_SOURCE = "it stays as long as its source"
_SHARE = "all its hosts have the share, with all volumes, as long as the server exports it"
_POOL = "every client has the pool, with all images"
_NO_REVERT = "not implemented, though its class has the method"
_STATUS = "it deletes a snapshot only while the status of its volume is one of a few"

DEVIATIONS: Mapping[str, Mapping[str, str]] = {
    "nfs": {
        "TestCreateExport::test_absent_volume_is_an_error_of_the_driver": _NOT_CHECKED,
        "TestCreateSnapshot::test_absent_volume_is_an_error_of_the_driver": _STATUS,
        "TestUpdateProviderInfo::test_rows_without_objects_are_no_error": _STATUS,
        "TestChangedRows::test_volume_is_found_after_a_change_of_its_row[in error]": _STATUS,
        "TestCreateSnapshot::test_what_an_interrupted_try_finished_is_left": _NOT_REPEATED,
        "TestCreateVolume::test_what_an_interrupted_try_wrote_is_gone": _NOT_REPEATED,
        "TestCreateVolumeFromSnapshot::test_larger_volume_has_its_size": _SOURCE,
        "TestCreateClonedVolume::test_larger_clone_has_its_size": _SOURCE,
        "TestExtendVolume::test_a_volume_never_shrinks": "qemu-img refuses, which is an error",
        "TestRevertToSnapshot": _NO_REVERT,
        "test_moments::test_a_revert_leaves": _NO_REVERT,
        "TestRemoveExport::test_access_ends": _SHARE,
        "TestTerminateConnection::test_access_ends": _SHARE,
        "TestTerminateConnection::test_no_connector_ends_the_access_of_all": _SHARE,
        "TestDeletionInUse::test_attached_volume_is_busy_and_unchanged": _API,
        "test_old_data::test_a_new_volume_has_nothing_but_its_data": f"{_SOURCE}; {_NOT_REPEATED}",
        "test_old_data::test_a_reverted_volume": _NO_REVERT,
    },
    "rbd": {
        "TestInitializeConnection::test_absent_volume_is_an_error_of_the_driver": _NOT_CHECKED,
        "TestCreateExport::test_absent_volume_is_an_error_of_the_driver": _NOT_CHECKED,
        "TestDeleteVolume::test_deleted_volume_is_gone": _NOT_CHECKED,
        "TestCreateClonedVolume::test_absent_source_leaves_nothing": _NOT_CHECKED,
        "TestVolumeManagement::test_reference_to_": "asked for the size before",
        "TestSnapshotManagement::test_reference_to_": "asked for the size before",
        "TestVolumeManagement::test_page_that_makes_no_sense": _API,
        "TestVolumeManagement::test_a_repeated_call_finds_the_object": _NOT_REPEATED,
        "TestSnapshotManagement::test_a_repeated_call_finds_the_object": _NOT_REPEATED,
        "TestCreateSnapshot::test_what_an_interrupted_try_finished_is_left": _NOT_REPEATED,
        "TestCreateVolumeFromSnapshot::test_a_repeated_call_leaves_the_data": _NOT_REPEATED,
        "TestCreateVolume::test_what_an_interrupted_try": _NOT_REPEATED,
        "TestRevertToSnapshot::test_volume_that_has_grown_keeps_its_size": _API,
        "TestRemoveExport::test_access_ends": _POOL,
        "TestTerminateConnection::test_access_ends": _POOL,
        "TestTerminateConnection::test_no_connector_ends_the_access_of_all": _POOL,
        "TestTerminateConnection::test_shared_connection_is_said_to_be_in_use": _POOL,
        "TestDeletionInUse::test_attached_volume_is_busy_and_unchanged": _API,
        "TestDeletionInUse::test_volume_of_another_connector_is_busy": _API,
        "TestExtendVolume::test_a_volume_never_shrinks": "the flow refuses what is not more",
        "test_old_data::test_a_new_volume_has_nothing_but_its_data": _NOT_REPEATED,
        "test_old_data::test_a_reverted_volume": _API,
    },
}
"""Rules of the contract that Cinder's drivers break, with the reason for leaving it so."""

FATAL: Mapping[str, Sequence[str]] = {
    # The driver uses an image, or a pool, whose cluster is closed: the binding crashes.
    "rbd": [
        "test_volumes.py::TestCreateClonedVolume::test_a_repeated_call_leaves_the_data",
        "test_snapshots.py::TestCreateVolumeFromSnapshot::"
        "test_type_with_replication_has_the_data_too",
    ],
}


PLACES: Mapping[str, Callable[[Path], contextlib.AbstractContextManager[places.Place]]] = {
    "nfs": places.share,
    "rbd": places.ceph,
    "lvm": places.lvm,
    "lvm-thin": functools.partial(places.lvm, thin=True),
    "lvm-nvme": functools.partial(places.lvm, nvme=True),
}


@pytest.fixture(scope="module", params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[places.Place]:
    """A backend for one of the drivers, with the environment that its service needs."""
    with (
        PLACES[request.param](tmp_path_factory.mktemp(request.param)) as found,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in found.environment.items():
            patch.setenv(name, value)
        if binding := found.environment.get("BINDING"):
            patch.syspath_prepend(binding)
            patch.setenv("PYTHONPATH", binding, prepend=os.pathsep)
        yield found


def kind(place: places.Place) -> str:
    return place.driver.split(".")[3]


def test_it_keeps_the_contract_but_for_what_is_known(place: places.Place, tmp_path: Path) -> None:
    if kind(place) not in DEVIATIONS:
        pytest.skip(f"its deviations are not known: {kind(place)}")
    report = tmp_path / "report.xml"
    options = [f"--driver-option={name}={value}" for name, value in place.options.items()]
    # They share state of the process: they are not killed, nor called twice at once.
    opener = ["--device", "tests.cinder.drivers.devices:opened", "--modes=plain", "--points=0"]
    command = [*("-m", "pytest", "-q", "tests/conformance", "-p", "no:cacheprovider")]
    left_out = [f"--deselect=tests/conformance/{name}" for name in FATAL.get(kind(place), ())]
    done = subprocess.run(
        [sys.executable, *command, "--driver", place.driver, *options, *opener]
        + [f"--junitxml={report}", *left_out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=2700,
    )

    assert report.exists(), done.stdout + done.stderr
    known = DEVIATIONS[kind(place)]
    failed, passed = results(report, place.driver)
    unknown = {name for name in failed if not any(name.startswith(one) for one in known)}
    assert unknown == set(), done.stdout
    assert {one for one in known if not any(name.startswith(one) for name in failed)} == set()
    assert len(passed) > 60


def results(report: Path, driver: str) -> tuple[set[str], set[str]]:
    """Return which tests failed, and which passed, as ``Class::test[example]``."""
    failed, passed = set(), set()
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        name = name.replace(f"[{driver}]", "").replace(f"[{driver}-", "[")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
        elif case.find("skipped") is None:
            passed.add(name)
    return failed, passed - failed


@pytest.fixture(scope="module")
def cloud(
    place: places.Place,
    broker: Any,
    servers: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[BackupCloud]:
    """A service with the driver as its one backend, on SQLite or on MariaDB; backups with LVM."""
    from tests.functional.service import Service

    directory = tmp_path_factory.mktemp("cloud")
    url = f"sqlite:///{directory / 'cinder.sqlite'}"
    if kind(place) == "rbd":
        url = servers.mariadb.database()
    made: list[Service] = []

    def make(name: str = "service", **options: Any) -> Service:
        made.append(Service(directory / name, **options))
        return made[-1]

    backend = {"volume_driver": place.driver, **place.options}
    volume_sections = {"DEFAULT": {"debug": False}}
    cloud = BackupCloud(
        make, broker.vhost(), url, directory, backend, volume_sections=volume_sections
    )
    with contextlib.ExitStack() as stack:
        stack.callback(cloud.close)
        stack.callback(lambda: [service.close() for service in made])
        cloud.service.launch()
        if kind(place) == "lvm":
            cloud.backup_service.start()
        cloud.service.wait_for_log(f"backend {BACKEND} is up")
        cloud.service.wait_for_notice("READY=1")
        yield cloud
        sys.stdout.write(cloud.service.tail(80))


class Tenant:
    """Acts as a user does, and compares the data.

    :param connector: the host that reads and writes.
    """

    def __init__(self, cloud: BackupCloud, connector: Mapping[str, Any]) -> None:
        self.cloud = cloud
        self.connector = connector
        self.made: list[Record] = []

    def volume(self, size: int = 1, **columns: Any) -> Record:
        """Create a volume and return its row."""
        spec = columns.pop("request_spec", None)
        row = self.cloud.volume(size=size, **columns)
        self.made.append(row)
        self.cloud.cast("create_volume", volume=row, request_spec=spec)
        return self.found(row, "available")

    def snapshot(self, volume: Record) -> Record:
        """Create a snapshot and return its row."""
        row = self.cloud.snapshot(volume)
        self.made.append(row)
        self.cloud.cast("create_snapshot", volume=volume, snapshot=row)
        return self.found(row, "available")

    def found(self, row: Record, status: str) -> Record:
        """Wait for a status and return the row."""
        found = self.cloud.wait_status(row, status)
        assert found is not None
        return found

    def delete(self, row: Record) -> None:
        """Delete a volume or a snapshot, and wait until it is gone."""
        rows = getattr(self.cloud.records, f"{row.kind}s")
        rows.transition(row.id, "deleting", when=(rows.get(row.id).status,))
        self.cloud.cast(f"delete_{row.kind}", **{row.kind: rows.get(row.id)})
        self.cloud.wait_status(row, "gone")
        self.made = [one for one in self.made if one.id != row.id]

    @contextlib.contextmanager
    def device(self, volume: Record) -> Iterator[Device]:
        """Connect as a hypervisor does, and give the device."""
        volume = self.cloud.records.volumes.get(volume.id)
        info = self.cloud.call("initialize_connection", volume=volume, connector=self.connector)
        yield devices.opened(info)
        named = {"volume_id": volume.id}
        self.cloud.call("terminate_connection", **named, connector=self.connector, force=False)
        self.cloud.call("remove_export", **named)

    def write(self, volume: Record, data: bytes) -> None:
        """Write at the begin of a volume."""
        with self.device(volume) as device:
            device.write(0, data)

    def read(self, volume: Record, length: int) -> bytes:
        """Read from the begin of a volume."""
        with self.device(volume) as device:
            return device.read(0, length)


@pytest.fixture
def tenant(place: places.Place, cloud: BackupCloud) -> Iterator[Tenant]:
    found = Tenant(cloud, devices.host_connector() if kind(place) == "lvm" else CONNECTOR)
    yield found
    for row in reversed(found.made):
        found.delete(row)


@pytest.fixture
def objects(place: places.Place) -> Callable[[], list[str]]:
    """Return the objects on the backend, and the targets of this host."""

    def ceph() -> list[str]:
        import rados
        import rbd

        with rados.Rados(conffile="") as cluster, cluster.open_ioctx("volumes") as pool:
            # Cinder's driver keeps a cloned volume under another name, even after its clones.
            found = rbd.RBD().list(pool)
            return sorted(name for name in found if not name.endswith(".deleted"))

    def share() -> list[str]:
        return sorted(path.name for path in Path(place.options["nfs_mount_point_base"]).glob("*/*"))

    def group() -> list[str]:
        command = ["lvs", "--noheadings", "-o", "lv_name", place.options["volume_group"]]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        kernel = Path("/sys/kernel/config")
        targets = [*kernel.glob("target/iscsi/iqn*"), *kernel.glob("nvmet/subsystems/*")]
        return sorted(done.stdout.split()) + sorted(target.name for target in targets)

    return {"nfs": share, "rbd": ceph, "lvm": group}[kind(place)]


class TestService:
    """A round of operations in a service."""

    def test_data_lives_through_snapshots_clones_and_growth(
        self, tenant: Tenant, objects: Callable[[], list[str]]
    ) -> None:
        before = objects()
        volume = tenant.volume()
        tenant.write(volume, b"first")
        snapshot = tenant.snapshot(volume)
        tenant.write(volume, b"later")
        of_snapshot = tenant.volume(snapshot_id=snapshot.id)
        clone = tenant.volume(source_volid=volume.id)

        assert tenant.read(of_snapshot, 5) == b"first"
        assert tenant.read(volume, 5) == tenant.read(clone, 5) == b"later"
        # Not the clone: Cinder's NFS driver takes it for a QCOW2 file, as its source is one.
        tenant.cloud.records.volumes.transition(of_snapshot.id, "extending", when=("available",))
        tenant.cloud.cast("extend_volume", volume=of_snapshot, new_size=2, reservations=[])
        assert tenant.found(of_snapshot, "available").size == 2
        with tenant.device(of_snapshot) as device:
            assert (device.size(), device.read(0, 5)) == (2 * GIB, b"first")

        for row in (of_snapshot, clone, snapshot, volume):
            tenant.delete(row)
        assert objects() == before

    def test_a_volume_that_has_snapshots_is_busy_and_stays(
        self, place: places.Place, tenant: Tenant
    ) -> None:
        if place.options.get("lvm_type") == "thin":
            pytest.skip("a thin volume does not need its snapshots, nor they it")
        volume = tenant.volume()
        tenant.write(volume, b"kept")
        tenant.snapshot(volume)

        tenant.cloud.records.volumes.transition(volume.id, "deleting", when=("available",))
        tenant.cloud.cast("delete_volume", volume=volume)
        tenant.found(volume, "available")

        assert tenant.read(volume, 4) == b"kept"

    def test_images_become_volumes_and_volumes_images(self, tenant: Tenant) -> None:
        image = tenant.cloud.image(
            b"of an image" + bytes(501), disk_format="raw", container_format="bare"
        )
        spec = {"image_id": image["id"], "volume_properties": {"size": 1}}
        volume = tenant.volume(request_spec=spec)

        assert volume.bootable
        assert volume.glance_metadata["image_id"] == image["id"]
        with tenant.device(volume) as device:
            assert (device.size(), device.read(0, 11)) == (GIB, b"of an image")

        other = tenant.cloud.image(None, disk_format="raw", container_format="bare")
        tenant.cloud.records.volumes.transition(volume.id, "uploading", when=("available",))
        tenant.cloud.cast("copy_volume_to_image", volume_id=volume.id, image_meta=other)
        tenant.found(volume, "available")
        stored = tenant.cloud.images.show(None, other["id"])
        assert (stored["status"], stored["size"]) == ("active", GIB)
        assert next(iter(tenant.cloud.images.download(None, other["id"])))[:11] == b"of an image"

    def test_killed_it_goes_on_after_a_restart(
        self, tenant: Tenant, objects: Callable[[], list[str]]
    ) -> None:
        before, cloud = objects(), tenant.cloud
        position = cloud.service.position()
        rows = [cloud.volume() for _ in range(4)]
        tenant.made += rows
        for row in rows:
            cloud.cast("create_volume", volume=row)
        cloud.service.wait_for_log("create_volume", after=position)
        cloud.service.kill()
        cloud.service.start()

        for row in rows:
            tenant.found(row, "available")
        for row in rows:
            tenant.delete(row)
        until(lambda: objects() == before, 30, "nothing to be left")

    def test_what_a_kill_left_half_made_is_removed(
        self, place: places.Place, tenant: Tenant
    ) -> None:
        if kind(place) != "rbd":
            pytest.skip("a file is there, or it is not")
        import rados
        import rbd

        volume = tenant.volume()
        with rados.Rados(conffile="") as cluster, cluster.open_ioctx("volumes") as pool:
            with rbd.Image(pool, volume.name) as image:
                header = f"rbd_header.{image.id()}"
            pool.remove_object(header)
            tenant.delete(volume)

            with pytest.raises(rados.ObjectNotFound):
                pool.stat(f"rbd_id.{volume.name}")

    def test_the_scheduler_is_told_what_the_driver_tells(self, cloud: Cloud) -> None:
        told = cloud.call("get_capabilities", discover=True)

        assert told["volume_backend_name"] == BACKEND
        assert told["storage_protocol"] in ("nfs", "ceph", ["ceph", "rbd"], "iSCSI")
        assert told["total_capacity_gb"] > 0


class TestVolumeGroup:
    """Operations that attach volumes of LVM to this host, or copy them on it."""

    @pytest.fixture(autouse=True)
    def lvm(self, place: places.Place) -> None:
        if kind(place) != "lvm":
            pytest.skip("its volumes are not devices of this host")

    def test_a_backup_goes_through_an_attached_disk_and_back(
        self, tenant: Tenant, objects: Callable[[], list[str]]
    ) -> None:
        before, cloud = objects(), tenant.cloud
        volume = tenant.volume()
        tenant.write(volume, b"kept")
        backup = cloud.made(volume)
        tenant.write(volume, b"lost")
        target = tenant.volume()
        cloud.restore(backup, target)
        tenant.found(target, "available")

        assert tenant.read(target, 4) == b"kept"
        assert tenant.read(volume, 4) == b"lost"
        for row in (target, volume):
            tenant.delete(row)
        assert objects() == before

    def test_killed_in_the_middle_of_a_clone_it_makes_the_clone(
        self, place: places.Place, tenant: Tenant, objects: Callable[[], list[str]]
    ) -> None:
        if place.options["lvm_type"] == "thin":
            pytest.skip("nothing is copied for a thin clone")
        before, cloud = objects(), tenant.cloud
        volume = tenant.volume()
        tenant.write(volume, b"cloned")
        clone = cloud.volume(source_volid=volume.id)
        tenant.made.append(clone)
        cloud.cast("create_volume", volume=clone)
        until(lambda: clone.name in objects(), 30, "the clone's logical volume")
        cloud.service.kill()
        assert f"clone-snap-{clone.id}" in objects(), "the copy was over before the kill"
        cloud.service.start()
        tenant.found(clone, "available")

        assert tenant.read(clone, 6) == tenant.read(volume, 6) == b"cloned"
        for row in (clone, volume):
            tenant.delete(row)
        assert objects() == before
