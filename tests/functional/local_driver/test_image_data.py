# SPDX-License-Identifier: Apache-2.0
"""Data of images through the service: the local driver, and each image service.

Data that is written to a volume is read back from an image, by checksum.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from drivers.image.directory import DirectoryImages
from drivers.image.glance import GlanceImages
from drivers.interface.errors import ImageCopyFailure, ImageNotFound
from drivers.interface.image import ImageService
from drivers.interface.records import Record
from tests.conformance.places import require_programs
from tests.conftest import require
from tests.functional.cloud import BACKEND, HOST, Cloud
from tests.functional.service import Service
from tests.reading import blocks, part
from tests.scripted.glance_server import glance_client
from tests.servers import Glance, Servers, until
from tests.servers.keystone import Keystone
from worker.journal.entries.tasks import tasks_of

POOL_HOST = f"{HOST}#{BACKEND}"
MIB = 1024**2
LENGTH = 40 * MIB


class World:
    """A service with the local driver, and images of one kind."""

    def __init__(self, cloud: Cloud, volumes: Path, images: ImageService) -> None:
        self.cloud, self.volumes, self.images = cloud, volumes, images

    def volume(self, image: Any, status: str = "available", size: int = 1) -> Record:
        """Create a volume from an image."""
        volume = self.cloud.volume(host=POOL_HOST, size=size)
        self.cloud.cast("create_volume", volume=volume, request_spec={"image_id": image["id"]})
        row = self.cloud.wait_status(volume, status)
        assert row is not None
        return row

    def data(self, volume: Record, length: int = LENGTH) -> str:
        """Return the checksum of a volume's begin; the rest is zero."""
        path = self.volumes / volume.name
        assert length % MIB == 0 and not list(blocks(path, start=length))
        return hashlib.sha256(part(path, length)).hexdigest()

    def upload(self, volume: Record, disk_format: str) -> Any:
        """Write a volume into a new image."""
        image = self.images.create(
            None, {"name": "up", "disk_format": disk_format, "container_format": "bare"}
        )
        self.cloud.records.volumes.transition(volume.id, "uploading", when=("available",))
        self.cloud.cast("copy_volume_to_image", volume_id=volume.id, image_meta=dict(image))
        self.cloud.wait_status(volume, "available")
        self.cloud.wait_idle()
        return self.images.show(None, image["id"])


def _glance(servers: Servers) -> tuple[GlanceImages, dict[str, Any]]:
    require(Glance)
    options = {"glance_api_servers": servers.glance.url, "auth_strategy": "noauth"}
    images = glance_client(servers.glance.url, glance_request_timeout=60)
    return images, {"image_service": "glance", **options}


@pytest.fixture(params=["directory", "glance"])
def world(
    request: pytest.FixtureRequest,
    servers: Servers,
    volume_service: Callable[..., Service],
    rabbit_url: str,
    tmp_path: Path,
) -> Iterator[World]:
    require_programs("qemu-img")
    images: ImageService = DirectoryImages(SimpleNamespace(image_directory=str(tmp_path / "kept")))
    options: dict[str, Any] = {"image_directory": tmp_path / "kept"}
    if request.param == "glance":
        images, options = _glance(servers)
    backend = {"volume_driver": "local", "local_path": str(tmp_path / "volumes")}
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    cloud = Cloud(volume_service, rabbit_url, database, tmp_path, backend, DEFAULT=options)
    cloud.service.start()
    yield World(cloud, tmp_path / "volumes", images)
    cloud.close()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk with data at both ends."""
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.write(os.urandom(MIB))
        file.seek(LENGTH - MIB)
        file.write(os.urandom(MIB))
    return path


def kept(world: World, path: Path, disk_format: str, **known: Any) -> Any:
    described = {"name": "linux", "disk_format": disk_format, "container_format": "bare"}
    with path.open("rb") as file:
        return world.images.create(None, {**described, **known}, file)


def qcow2(disk: Path) -> Path:
    path = disk.with_suffix(".qcow2")
    command = ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", disk, path]
    subprocess.run(command, check=True)
    return path


@pytest.mark.parametrize(
    ("world", "disk_format"),
    [("directory", "qcow2"), ("glance", "qcow2"), ("glance", "raw")],
    indirect=["world"],
)
def test_a_round_trip(world: World, disk: Path, disk_format: str, tmp_path: Path) -> None:
    wanted = hashlib.sha256(disk.read_bytes()).hexdigest()
    source = disk if disk_format == "raw" else qcow2(disk)
    image = kept(world, source, disk_format, properties={"os_distro": "debian"})
    volume = world.volume(image)
    if disk_format == "raw":
        os.truncate(world.volumes / volume.name, LENGTH)  # a raw image has each byte of a GiB
    uploaded = world.upload(volume, disk_format)
    again = world.volume(uploaded)

    assert world.data(volume) == world.data(again) == wanted
    assert volume.glance_metadata["os_distro"] == "debian"
    assert volume.glance_metadata["checksum"] == image["checksum"]
    assert (uploaded["status"], uploaded["disk_format"]) == ("active", disk_format)
    assert (world.volumes / volume.name).stat().st_blocks * 512 < 8 * MIB
    assert not list((world.cloud.service.directory / "state").glob("conversion/*"))


@pytest.mark.parametrize("world", ["directory"], indirect=True)  # Glance refuses it itself
def test_an_image_that_reads_the_hosts_files(world: World, tmp_path: Path) -> None:
    secret, evil = tmp_path / "secret", tmp_path / "evil"
    secret.write_bytes(b"TOP SECRET".ljust(MIB, b"."))
    command = ["qemu-img", "create", "-f", "qcow2", "-b", secret, "-F", "raw", evil]
    subprocess.run(command, check=True, capture_output=True)
    volume = world.volume(kept(world, evil, "qcow2"), "error")
    world.cloud.wait_idle()

    assert not (world.volumes / volume.name).exists()
    (entry,) = [e for e in world.cloud.entries() if e.method == "create_volume"]
    assert entry.failure is not None and "backing file" in entry.failure


def test_reimage(world: World, disk: Path) -> None:
    other = disk.with_name("other")
    other.write_bytes(b"other" * 1000)
    volume = world.volume(kept(world, other, "raw"))
    image = kept(world, qcow2(disk), "qcow2")
    columns = {"previous_status": "available"}
    world.cloud.records.volumes.transition(volume.id, "downloading", when=("available",), **columns)
    volume = world.cloud.records.volumes.get(volume.id)
    world.cloud.cast("reimage", "3.20", volume=volume, image_meta=dict(image))
    row = world.cloud.wait_status(volume, "available")

    assert world.data(volume) == hashlib.sha256(disk.read_bytes()).hexdigest()
    assert row is not None and row.glance_metadata["image_id"] == image["id"]


class TestGlance:
    """The service's log lines, and the final status."""

    @pytest.fixture
    def glance(self, servers: Servers) -> GlanceImages:
        return _glance(servers)[0]

    def test_what_is_known_of_an_image(self, glance: GlanceImages) -> None:
        described = {"name": "linux", "disk_format": "raw", "container_format": "bare"}
        more = {"min_disk": 3, "properties": {"os_distro": "debian"}}
        image = glance.create(None, {**described, **more}, iter([b"some", b"data"]))
        shown = glance.show(None, image["id"])

        assert (shown["status"], shown["size"], shown["min_disk"]) == ("active", 8, 3)
        assert shown["checksum"] == hashlib.md5(b"somedata").hexdigest()
        assert (shown["os_hash_algo"], len(shown["os_hash_value"])) == ("sha512", 128)
        assert shown["properties"]["os_distro"] == "debian"
        assert b"".join(glance.download(None, image["id"]) or ()) == b"somedata"

    def test_an_image_that_is_not_there(self, glance: GlanceImages) -> None:
        missing = "00000000-0000-0000-0000-00000000dead"
        for call in (glance.show, lambda c, i: list(glance.download(c, i) or ())):
            with pytest.raises(ImageNotFound):
                call(None, missing)
        glance.delete(None, missing)

    def test_an_image_without_data(self, glance: GlanceImages) -> None:
        described = {"name": "later", "disk_format": "raw", "container_format": "bare"}
        image = glance.create(None, described)

        assert image["status"] == "queued"
        with pytest.raises(ImageNotFound):
            list(glance.download(None, image["id"]) or ())
        glance.delete(None, image["id"])
        with pytest.raises(ImageNotFound):
            glance.show(None, image["id"])

    def test_the_store_of_an_upload(self, glance: GlanceImages) -> None:
        described = {"name": "stored", "disk_format": "raw", "container_format": "bare"}
        image = glance.create(None, described)
        with pytest.raises(ImageCopyFailure, match="refused image"):
            glance.update(None, image["id"], {}, iter([b"data"]), store_id="unknown")

        placement = {"store_id": "fs", "base_image_ref": image["id"]}
        sent = glance.update(None, image["id"], {}, iter([b"data"]), **placement)
        assert (sent["status"], sent["size"]) == ("active", 4)

    def test_data_that_was_changed_in_the_store(
        self, servers: Servers, glance: GlanceImages, tmp_path: Path
    ) -> None:
        described = {"name": "linux", "disk_format": "raw", "container_format": "bare"}
        image = glance.create(None, described, iter([b"data" * 1000]))
        stored = servers.glance.images / image["id"]
        stored.write_bytes(b"DATA" + stored.read_bytes()[4:])
        from drivers.image.image_transfer import ImageTransport
        from drivers.image.qemu_img import ConversionLimits
        from drivers.interface.pace import Pace

        volume = tmp_path / "volume"
        volume.write_bytes(bytes(MIB))
        transport = ImageTransport(glance, tmp_path, ConversionLimits())
        with volume.open("r+b") as file, pytest.raises(ImageCopyFailure, match="sha512"):
            transport.fetch(None, image, file, MIB, "v1", Pace())

    def test_a_server_that_does_not_answer(self, tmp_path: Path) -> None:
        images = glance_client("http://127.0.0.1:9", glance_request_timeout=5)
        with pytest.raises(ImageCopyFailure, match="does not answer"):
            images.show(None, "00000000-0000-0000-0000-00000000dead")


class TestKeystone:
    """The service makes itself known by its own account; see also docs/images.rst."""

    @pytest.fixture
    def keystone(self, servers: Servers) -> Iterator[Keystone]:
        require(Glance)
        with Keystone({"image": servers.glance.url}, "secret") as running:
            yield running
            running.shutdown()

    def images(self, keystone: Keystone, tmp_path: Path, password: str) -> GlanceImages:
        """Read the configuration as the service does; the catalogue knows where Glance is."""
        place = tmp_path / "holdfast.conf"
        place.write_text(
            f"""[DEFAULT]
            glance_num_retries = 0
            [service_user]
            auth_type = password
            auth_url = {keystone.url}
            username = holdfast
            password = {password}
            project_name = service
            user_domain_id = default
            project_domain_id = default
            """.replace("            ", "")
        )
        conf = cfg.ConfigOpts()
        conf.register_opts(GlanceImages.OPTS)
        conf(["--config-file", str(place)], default_config_files=[])
        return GlanceImages(conf)

    def test_the_catalogue_says_where_glance_is(self, keystone: Keystone, tmp_path: Path) -> None:
        images = self.images(keystone, tmp_path, "secret")
        described = {"name": "linux", "disk_format": "raw", "container_format": "bare"}
        image = images.create(None, described, iter([b"data"]))

        assert images.show(None, image["id"])["status"] == "active"
        assert keystone.asked == ["holdfast"]

    def test_a_wrong_password_is_told_without_it(self, keystone: Keystone, tmp_path: Path) -> None:
        images = self.images(keystone, tmp_path, "guessed")

        with pytest.raises(ImageCopyFailure) as told:
            images.show(None, "00000000-0000-0000-0000-00000000dead")
        assert "401" in str(told.value) and "guessed" not in str(told.value)

    def test_no_account_is_told_with_its_section(self, tmp_path: Path) -> None:
        conf = cfg.ConfigOpts()
        conf.register_opts(GlanceImages.OPTS)
        conf(["--config-dir", str(tmp_path)], default_config_files=[])
        conf.set_override("glance_num_retries", 0)

        with pytest.raises(ImageCopyFailure, match=r"\[service_user\]"):
            GlanceImages(conf).show(None, "00000000-0000-0000-0000-00000000dead")


def test_progress_is_seen(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> None:
    """While an image is copied, the operator sees its progress."""
    kept = tmp_path / "kept"
    options = {
        "image_service": "tests.functional.local_driver.slow_images.SlowImages",
        "image_directory": kept,
    }
    backend = {"volume_driver": "local", "local_path": str(tmp_path / "volumes")}
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    cloud = Cloud(volume_service, rabbit_url, database, tmp_path, backend, DEFAULT=options)
    cloud.service.start()
    images = DirectoryImages(SimpleNamespace(image_directory=str(kept)))
    image = images.create(None, {"name": "linux"}, iter([b"x" * (40 * MIB)]))
    volume = cloud.volume(host=POOL_HOST)
    cloud.cast("create_volume", volume=volume, request_spec={"image_id": image["id"]})
    seen: set[str] = set()

    def ended() -> bool:
        journal = cloud.journal()
        for entry in journal.entries():
            shown = [task.shown for task in tasks_of(journal, entry) if task.name == "download"]
            seen.update(text for text in shown if "%" in text)
        journal.close()
        return cloud.status(volume) == "available"

    until(ended, 60, "the volume")
    cloud.close()

    assert seen
    assert all(text.startswith("RUNNING ") for text in seen)
