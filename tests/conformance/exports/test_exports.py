# SPDX-License-Identifier: Apache-2.0
"""The contract of an export driver. Source: drivers.interface.export."""

from __future__ import annotations

import contextlib
import json
import os
import threading

import pytest

from drivers.interface.errors import DriverError, TargetUpdateFailed, VolumeBackendAPIException
from drivers.interface.export import ExportDriver

from ..checks import leaks, outside
from ..interruption.interleave import interleaved
from ..interruption.kill import killed
from ..interruption.points import sources, spread
from .conftest import MIB


def require_no_access(exports, where):
    try:
        exports.open(where).read(0, 512)
    except (OSError, ValueError, LookupError, AssertionError, DriverError):
        return
    pytest.fail("the file can still be read")


class TestClass:
    def test_it_has_a_protocol_and_abilities(self, exports):
        driver = exports.driver

        assert isinstance(driver, ExportDriver)
        assert isinstance(driver.protocol, str) and 0 < len(driver.protocol) <= 16
        assert driver.multiattach in (True, False)
        assert driver.online_extend_support in (True, False)

    def test_check_can_be_repeated(self, exports):
        assert exports.driver.check() is None
        assert exports.made().check() is None


class TestEnsure:
    def test_data_of_the_file_is_served(self, exports):
        device = exports.served("volume-a")

        assert device.read(0, 8) == b"volume-a"
        assert device.size() == MIB

    def test_writes_are_in_the_file(self, exports):
        device = exports.served("volume-a")
        device.write(512, b"data")

        path = exports.place / "volume-a"
        assert path.read_bytes()[512:516] == b"data"

    def test_a_repeated_call_leaves_it(self, exports):
        device = exports.served("volume-a")
        path = str(exports.place / "volume-a")
        assert exports.driver.ensure("volume-a", path) is None

        device.write(0, b"still")
        assert device.read(0, 5) == b"still"

    def test_address_is_the_same_after_a_restart(self, exports):
        path = exports.file("volume-a")
        exports.driver.ensure("volume-a", path)
        before = exports.driver.connect("volume-a", "one")
        again = exports.made()
        again.ensure("volume-a", path)

        assert again.connect("volume-a", "one") == before
        assert exports.open(before).read(0, 8) == b"volume-a"

    def test_absent_file_is_an_error_and_leaves_nothing(self, exports):
        path = exports.file("volume-a")
        os.remove(path)

        with pytest.raises(VolumeBackendAPIException):
            exports.driver.ensure("volume-a", path)
        assert not exports.driver.is_up("volume-a")

    def test_file_that_begins_like_an_image_is_raw(self, exports):
        path = exports.file("volume-a")
        with open(path, "r+b") as file:
            file.write(b"QFI\xfb" + bytes(100))
        exports.driver.ensure("volume-a", path)
        device = exports.open(exports.driver.connect("volume-a", "one"))

        assert device.size() == MIB
        assert device.read(0, 4) == b"QFI\xfb"

    def test_two_files_do_not_mix(self, exports):
        devices = [exports.served("volume-a"), exports.served("volume-b")]

        assert [device.read(0, 8) for device in devices] == [b"volume-a", b"volume-b"]

    @pytest.mark.parametrize("name", [outside.RELATIVE, "a/b", outside.ABSOLUTE], ids=outside.shown)
    def test_name_that_leads_outside_is_refused(self, exports, name):
        path = exports.file("volume-a")
        with pytest.raises(DriverError):
            exports.driver.ensure(name, path)


class TestReadOnly:
    def test_it_cannot_be_written(self, exports):
        device = exports.served("volume-a", read_only=True)
        with contextlib.suppress(OSError, ValueError, AssertionError, DriverError):
            device.write(0, b"changed!")
        path = exports.place / "volume-a"
        assert path.read_bytes()[:8] == b"volume-a"

    def test_both_kinds_are_served_at_once(self, exports):
        writing = exports.served("volume-a")
        path = str(exports.place / "volume-a")
        exports.driver.ensure("volume-a", path, read_only=True)
        exports.driver.connect("volume-a", "two", read_only=True)

        assert sorted(exports.driver.noted("volume-a")) == [False, True]
        writing.write(0, b"written!")
        exports.driver.disconnect("volume-a", "two")
        assert list(exports.driver.noted("volume-a")) == [False]
        assert writing.read(0, 8) == b"written!"


class TestConnect:
    def test_answer_is_fit_for_json(self, exports):
        exports.driver.ensure("volume-a", exports.file("volume-a"))
        where = exports.driver.connect("volume-a", "one")

        assert json.loads(json.dumps(dict(where))) == dict(where)

    def test_a_repetition_changes_nothing(self, exports):
        exports.driver.ensure("volume-a", exports.file("volume-a"))
        where = exports.driver.connect("volume-a", "one")

        assert exports.driver.connect("volume-a", "one") == where
        exports.driver.disconnect("volume-a", "one")
        assert not exports.driver.is_up("volume-a")

    def test_consumers_share_data_where_that_is_announced(self, exports):
        if not exports.driver.multiattach:
            pytest.skip("it does not announce multiattach")
        one = exports.served("volume-a")
        other = exports.open(exports.driver.connect("volume-a", "two"))
        one.write(0, b"shared")

        assert other.read(0, 6) == b"shared"

    def test_noted_is_empty_without_consumers(self, exports):
        assert list(exports.driver.noted("volume-a")) == []
        exports.driver.ensure("volume-a", exports.file("volume-a"))
        assert list(exports.driver.noted("volume-a")) == []
        assert exports.driver.is_up("volume-a") is True


class TestDisconnect:
    def test_export_ends_with_its_last_consumer(self, exports):
        exports.driver.ensure("volume-a", exports.file("volume-a"))
        where = exports.driver.connect("volume-a", "one")
        exports.driver.connect("volume-a", "two")

        exports.driver.disconnect("volume-a", "one")
        assert exports.driver.is_up("volume-a")
        exports.driver.disconnect("volume-a", "two")

        assert not exports.driver.is_up("volume-a")
        require_no_access(exports, where)

    def test_none_ends_all(self, exports):
        exports.driver.ensure("volume-a", exports.file("volume-a"))
        where = exports.driver.connect("volume-a", "one")
        exports.driver.connect("volume-a", "two")

        exports.driver.disconnect("volume-a", None)

        assert not exports.driver.is_up("volume-a")
        assert list(exports.driver.noted("volume-a")) == []
        require_no_access(exports, where)

    def test_unknown_consumer_and_absent_export_are_success(self, exports):
        device = exports.served("volume-a")
        exports.driver.disconnect("volume-a", "unknown")
        exports.driver.disconnect("absent", "one")
        exports.driver.disconnect("absent", None)

        assert device.read(0, 8) == b"volume-a"

    def test_others_stay(self, exports):
        exports.served("volume-a")
        device = exports.served("volume-b")
        exports.driver.disconnect("volume-a", None)

        assert device.read(0, 8) == b"volume-b"

    def test_the_file_stays(self, exports):
        exports.served("volume-a")
        exports.driver.disconnect("volume-a", None)

        assert (exports.place / "volume-a").stat().st_size == MIB


class TestRemove:
    def test_it_is_served_no_more(self, exports):
        exports.driver.ensure("volume-a", exports.file("volume-a"))
        where = exports.driver.connect("volume-a", "one")
        assert exports.driver.remove("volume-a") is None

        assert not exports.driver.is_up("volume-a")
        assert list(exports.driver.noted("volume-a")) == []
        require_no_access(exports, where)

    def test_absence_is_success(self, exports):
        exports.driver.remove("absent")
        exports.served("volume-a")
        exports.driver.remove("volume-a")
        exports.driver.remove("volume-a")

    def test_others_stay(self, exports):
        exports.served("volume-a")
        device = exports.served("volume-b")
        exports.driver.remove("volume-a")

        assert device.read(0, 8) == b"volume-b"

    def test_another_instance_removes_it(self, exports):
        exports.driver.ensure("volume-a", exports.file("volume-a"))
        where = exports.driver.connect("volume-a", "one")
        exports.made().remove("volume-a")

        require_no_access(exports, where)


class TestGrown:
    def test_size_is_the_new_one(self, exports):
        path = exports.file("volume-a")
        exports.driver.ensure("volume-a", path)
        where = exports.driver.connect("volume-a", "one")
        os.truncate(path, 2 * MIB)
        try:
            exports.driver.grown("volume-a", path)
        except TargetUpdateFailed:
            exports.driver.disconnect("volume-a", "one")
            exports.driver.ensure("volume-a", path)
            where = exports.driver.connect("volume-a", "one")

        assert exports.open(where).size() == 2 * MIB

    def test_file_that_is_not_served_is_left(self, exports):
        path = exports.file("volume-a")
        assert exports.driver.grown("volume-a", path) is None

        assert not exports.driver.is_up("volume-a")


class TestHeld:
    def test_writes_come_afterwards_and_reads_are_whole(self, exports):
        device = exports.served("volume-a")
        device.write(0, b"before")
        path = exports.place / "volume-a"
        with exports.driver.held(["volume-a", "not served"]):
            before = path.read_bytes()[:6]
        device.write(0, b"after.")

        assert before == b"before"
        assert path.read_bytes()[:6] == b"after."

    def test_it_ends_with_an_error_too(self, exports):
        device = exports.served("volume-a")
        with pytest.raises(KeyError), exports.driver.held(["volume-a"]):
            raise KeyError
        device.write(0, b"after")

        assert device.read(0, 5) == b"after"

    def test_a_write_waits(self, exports):
        device = exports.served("volume-a")
        path = exports.place / "volume-a"
        writer = threading.Thread(target=device.write, args=(0, b"late.."), daemon=True)
        with exports.driver.held(["volume-a"]):
            writer.start()
            writer.join(0.2)
            during = path.read_bytes()[:6]
        writer.join(60)

        assert during == b"volume"
        assert path.read_bytes()[:6] == b"late.."


class TestCalls:
    """A kill, or another call, within a call."""

    def test_a_killed_call_can_be_repeated(self, exports):
        places = sources(type(exports.driver))
        path = exports.file("volume-a")

        def prepare():
            driver = exports.made()

            def call():
                driver.ensure("volume-a", path)
                driver.connect("volume-a", "one")

            return call

        count = killed(prepare, places, -1)
        exports.driver.remove("volume-a")
        for at in spread(count or 1, exports.case.points):
            killed(prepare, places, at)
            exports.driver = exports.made()
            exports.driver.ensure("volume-a", path)
            device = exports.open(exports.driver.connect("volume-a", "one"))
            assert device.read(0, 8) == b"volume-a"
            exports.driver.disconnect("volume-a", "one")
            assert not exports.driver.is_up("volume-a")

    @pytest.mark.parametrize("method", ["remove", "disconnect"])
    def test_a_killed_removal_can_be_repeated(self, exports, method):
        places = sources(type(exports.driver))
        path = exports.file("volume-a")
        given = ("volume-a",) if method == "remove" else ("volume-a", None)

        def prepare():
            driver = exports.made()
            return lambda: getattr(driver, method)(*given)

        count = killed(prepare, places, -1)
        for at in spread(count or 1, exports.case.points):
            exports.driver.ensure("volume-a", path)
            where = exports.driver.connect("volume-a", "one")
            killed(prepare, places, at)
            exports.driver = exports.made()
            getattr(exports.driver, method)(*given)
            assert not exports.driver.is_up("volume-a")
            require_no_access(exports, where)

    @pytest.mark.parametrize("is_same", [True, False], ids=["one instance", "two instances"])
    def test_two_calls_at_once_do_not_disturb_each_other(self, exports, is_same):
        places = sources(type(exports.driver))
        paths = [exports.file("volume-a"), exports.file("volume-b")]
        other = exports.driver if is_same else exports.made()
        found = {}

        def serve(driver, name, path):
            driver.ensure(name, path)
            found[name] = driver.connect(name, "one")

        count = interleaved(
            lambda: serve(exports.driver, "volume-a", paths[0]), lambda: None, places, -1
        )[1]
        exports.driver.remove("volume-a")
        for at in spread(count, exports.case.points):
            interleaved(
                lambda: serve(exports.driver, "volume-a", paths[0]),
                lambda: serve(other, "volume-b", paths[1]),
                places,
                at,
            )
            for name in ("volume-a", "volume-b"):
                assert exports.open(found[name]).read(0, 8) == name.encode()
                exports.driver.remove(name)

    def test_two_consumers_at_once_are_both_noted(self, exports):
        places = sources(type(exports.driver))
        path = exports.file("volume-a")
        exports.driver.ensure("volume-a", path)
        other = exports.made()
        for at in range(0, 3 * exports.case.points, 3):
            interleaved(
                lambda: exports.driver.connect("volume-a", "one"),
                lambda: other.connect("volume-a", "two"),
                places,
                at,
            )
            exports.driver.disconnect("volume-a", "one")
            assert exports.driver.is_up("volume-a"), at
            exports.driver.disconnect("volume-a", "two")
            assert not exports.driver.is_up("volume-a")
            exports.driver.ensure("volume-a", path)

    def test_open_files_do_not_grow(self, exports):
        path = exports.file("volume-a")

        def cycle():
            exports.driver.ensure("volume-a", path)
            exports.driver.connect("volume-a", "one")
            exports.driver.remove("volume-a")

        cycle()
        before = leaks.descriptors()
        for _ in range(4):
            cycle()
        assert leaks.descriptors() < before + 4
