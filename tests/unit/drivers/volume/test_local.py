# SPDX-License-Identifier: Apache-2.0
"""The local driver: busy volumes, failures, reports."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_utils import units

from drivers.interface.errors import (
    VolumeBackendAPIException,
    VolumeDriverException,
    VolumeIsBusy,
)
from drivers.volume import in_use
from drivers.volume.capacity import report
from drivers.volume.local import LocalDriver
from tests.conformance.backend import HOST, Backend, configuration
from tests.conformance.places import Mount, missing, require_programs
from tests.reading import part


def everything(place):
    return sorted(os.listdir(place))


class TestNames:
    @pytest.mark.parametrize("name", ["../volume", "/etc/passwd", "a/b", ".hidden", "a@b/../c"])
    def test_template_that_leads_out_is_refused_by_every_call(self, backend, driver, place, name):
        good = backend.created()
        bad = backend.volume().replace(name=name)
        snapshot = backend.snapshot(good).replace(volume_name=name)
        backend._volumes.pop()
        calls = [
            lambda: driver.create_volume(bad),
            lambda: driver.delete_volume(bad),
            lambda: driver.extend_volume(bad, 2),
            lambda: driver.create_cloned_volume(bad, good),
            lambda: driver.create_cloned_volume(good, bad),
            lambda: driver.create_snapshot(snapshot),
            lambda: driver.create_export(None, bad, {}),
            lambda: driver.initialize_connection(bad, {}),
        ]
        for call in calls:
            with pytest.raises(VolumeDriverException, match="no plain file name"):
                call()

        assert everything(place) == [good.name]

    def test_link_in_a_volumes_place_is_refused(self, backend, driver, place, tmp_path):
        volume = backend.volume()
        secret = tmp_path / "secret"
        secret.write_bytes(b"secret")
        (place / volume.name).symlink_to(secret)

        for call in (driver.create_volume, driver.delete_volume):
            with pytest.raises(VolumeDriverException, match="is a link"):
                call(volume)
        with pytest.raises(VolumeDriverException, match="is a link"):
            driver.initialize_connection(volume, {})

        assert secret.read_bytes() == b"secret"


class TestBusy:
    """A volume that is used as a disk is neither deleted nor replaced."""

    CALLS = {
        "delete": lambda driver, volume, snapshot: driver.delete_volume(volume),
        "create": lambda driver, volume, snapshot: driver.create_volume(volume),
        "revert": lambda driver, volume, snapshot: driver.revert_to_snapshot(
            None, volume, snapshot
        ),
        "from snapshot": lambda driver, volume, snapshot: driver.create_volume_from_snapshot(
            volume, snapshot
        ),
    }

    @pytest.fixture
    def volume(self, backend):
        return backend.created()

    @pytest.fixture
    def snapshot(self, backend):
        return backend.snapped(backend.created())

    @pytest.mark.parametrize("call", CALLS)
    def test_locked_as_qemu_does(self, driver, place, volume, snapshot, call):
        with (place / volume.name).open("r+b") as user:
            user.write(b"in use")
            user.flush()
            lock = struct.pack("hhqqi0q", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0)
            fcntl.fcntl(user, fcntl.F_OFD_SETLK, lock)

            with pytest.raises(VolumeIsBusy, match="in use by a process that has locked it"):
                self.CALLS[call](driver, volume, snapshot)

        assert part(place / volume.name, 6) == b"in use"
        driver.delete_volume(volume)

    def test_behind_a_loop_device(self, driver, place, volume, tmp_path, monkeypatch):
        device = tmp_path / "loop7" / "loop"
        device.mkdir(parents=True)
        (device / "backing_file").write_text(f"{place / volume.name}\n")
        monkeypatch.setattr(in_use, "_LOOP_DEVICES", tmp_path)

        with pytest.raises(VolumeIsBusy, match="the loop device loop7"):
            driver.delete_volume(volume)

    def test_behind_a_loop_device_of_the_kernel(self, driver, place, volume):
        if os.geteuid() != 0:
            pytest.skip("only root can set up a loop device")
        require_programs("losetup")
        command = ["losetup", "--find", "--show", str(place / volume.name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"losetup failed: {done.stderr.strip()}")
        try:
            with pytest.raises(VolumeIsBusy, match="the loop device loop"):
                driver.delete_volume(volume)
        finally:
            subprocess.run(["losetup", "--detach", done.stdout.strip()], check=True)

    def test_having_snapshots(self, backend, driver, volume):
        snapshot = backend.snapped(volume)

        with pytest.raises(VolumeIsBusy, match=f"has snapshots.*{snapshot.name}"):
            driver.delete_volume(volume)

    def test_snapshots_of_a_volume_whose_name_begins_alike(self, backend, driver):
        short, long = backend.volume(id="1"), backend.volume(id="11")
        for volume in (short, long):
            driver.create_volume(volume)
        backend.snapped(long)

        driver.delete_volume(short)

    def test_written_to_while_it_is_copied(self, backend, driver, place, volume, monkeypatch):
        (place / volume.name).write_bytes(b"before")
        os.utime(place / volume.name, ns=(1, 1))
        really = os.copy_file_range

        def write_meanwhile(*args):
            with (place / volume.name).open("r+b") as user:
                user.write(b"during")
            return really(*args)

        def refuse(*_args):
            raise OSError(errno.EOPNOTSUPP, "no reflink")

        monkeypatch.setattr("drivers.volume.sparse_copy.fcntl.ioctl", refuse)
        monkeypatch.setattr("drivers.volume.sparse_copy.os.copy_file_range", write_meanwhile)

        with pytest.raises(VolumeIsBusy, match="detach it first"):
            driver.create_snapshot(backend.snapshot(volume))

        assert everything(place) == [volume.name]


class TestFailures:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
    def test_no_room_says_what_is_needed_and_what_is_free(
        self, backend, driver, place, monkeypatch, number
    ):
        volume = backend.volume(size=7)

        def fail(*_args):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("drivers.volume.files.os.ftruncate", fail)

        with pytest.raises(VolumeBackendAPIException) as caught:
            driver.create_volume(volume)

        assert volume.id in str(caught.value)
        assert "at most 7 GiB needed" in str(caught.value)
        assert "GiB free" in str(caught.value)
        assert everything(place) == []

    def test_disk_that_fills_up_leaves_nothing(self, tmp_path):
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small file system")
        place = tmp_path / "small"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"mount failed: {done.stderr.strip()}")
        mount = Mount(place)
        try:
            backend = Backend(LocalDriver, {"local_path": str(place)})
            source, clone = backend.created(), backend.volume()
            backend.write(source, 0, b"x" * 5 * 1024**2)

            with pytest.raises(VolumeBackendAPIException, match="No space left.*GiB free"):
                backend.driver.create_cloned_volume(clone, source)

            assert everything(place) == [source.name]
        finally:
            mount.close()

    def test_source_larger_than_the_volume_is_not_cut(self, backend, driver, place):
        source = backend.created(2)

        with pytest.raises(VolumeBackendAPIException, match="larger than the 1 GiB"):
            driver.create_cloned_volume(backend.volume(1), source)

        assert everything(place) == [source.name]

    def test_missing_source_is_named(self, backend, driver):
        source, volume = backend.volume(), backend.volume()

        with pytest.raises(VolumeBackendAPIException, match=f"{source.name} is not in"):
            driver.create_cloned_volume(volume, source)

    @pytest.mark.parametrize("broken", ["a file", "no permission"])
    def test_directory_that_cannot_be_used_is_told_at_the_start(self, tmp_path, broken):
        (tmp_path / "file").write_text("")
        place = tmp_path / "file" if broken == "a file" else "/proc/volumes"
        options = configuration(LocalDriver, {"local_path": str(place)})

        with pytest.raises(VolumeBackendAPIException, match=f"local_path = {place} cannot be used"):
            LocalDriver(options, host=HOST).do_setup(None)

    def test_directory_that_does_not_take_files_is_told_at_the_start(
        self, place, driver, monkeypatch
    ):
        monkeypatch.setattr("drivers.volume.files.os.pread", lambda *_: b"garbage")

        with pytest.raises(VolumeBackendAPIException, match="does not keep written data|cannot"):
            driver.check_for_setup_error()

    def test_leftovers_go_at_the_start_and_volumes_stay(self, backend, place):
        volume = backend.created()
        (place / ".new-0123456789abcdef").write_bytes(b"half")

        backend.start()

        assert everything(place) == [volume.name]


class TestPrivacy:
    def test_files_and_directory_are_the_owners(self, backend, place):
        volume = backend.created()
        snapshot = backend.snapped(volume)

        modes = [(place / name).stat().st_mode & 0o777 for name in everything(place)]
        assert place.stat().st_mode & 0o777 == 0o700
        assert modes == [0o600] * 2
        assert snapshot.name in "".join(everything(place))

    def test_a_later_volume_of_that_name_is_another_file(self, backend, driver, place):
        volume = backend.created()
        with (place / volume.name).open("r+b") as old:
            old.write(b"secret")
            driver.delete_volume(volume)
            driver.create_volume(volume)

            assert part(place / volume.name, 6) == bytes(6)
            assert os.fstat(old.fileno()).st_nlink == 0


class TestStatistics:
    def test_options_are_passed_on(self, driver):
        stats = driver.get_volume_stats()

        assert stats["reserved_percentage"] == 5
        assert stats["max_over_subscription_ratio"] == "20.0"
        assert stats["thin_provisioning_support"] is True
        assert stats["online_extend_support"] is True

    def test_caller_cannot_change_what_is_kept(self, driver):
        driver.get_volume_stats()["total_volumes"] = 99

        assert driver.get_volume_stats()["total_volumes"] == 0

    def test_snapshots_are_promised_and_not_counted(self, backend, driver):
        before = driver.get_volume_stats(refresh=True)["provisioned_capacity_gb"]
        backend.snapped(backend.created(2))

        after = driver.get_volume_stats(refresh=True)

        assert after["total_volumes"] == 1
        assert after["provisioned_capacity_gb"] - before == pytest.approx(4, abs=0.1)

    @given(
        sizes=st.lists(st.tuples(st.integers(0, 50 * units.Gi), st.integers(0, 10**8)), max_size=8),
        used=st.integers(0, 100 * units.Gi),
        free=st.integers(0, 100 * units.Gi),
    )
    def test_nothing_is_promised_that_is_not_there(self, sizes, used, free):
        entries = {
            f"volume-{number}": os.stat_result((0, 0, 0, 1, 0, 0, size, 0, 0, 0), {})
            for number, (size, _) in enumerate(sizes)
        }
        entries = {
            name: _Entry(entry.st_size, blocks)
            for (name, entry), (_, blocks) in zip(entries.items(), sizes, strict=True)
        }

        found = report((used + free, used, free), entries)

        promised = sum(size for size, _ in sizes)
        assert found["free_capacity_gb"] <= found["total_capacity_gb"] <= (used + free) / units.Gi
        assert found["provisioned_capacity_gb"] >= promised * 100 // units.Gi / 100
        assert found["provisioned_capacity_gb"] <= (promised + used) / units.Gi

    def test_what_others_use_is_promised_too(self):
        entries = {
            "volume-1": _Entry(10 * units.Gi, units.Gi // 512),
            "volume-1@snapshot-1": _Entry(units.Gi, 0),
        }

        found = report((100 * units.Gi, 4 * units.Gi, 96 * units.Gi), entries)

        assert found["provisioned_capacity_gb"] == 10 + 1 + (4 - 1)


class _Entry:
    """The fields of a stat result."""

    def __init__(self, size, blocks):
        self.st_size, self.st_blocks = size, blocks
