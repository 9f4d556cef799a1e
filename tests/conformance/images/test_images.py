# SPDX-License-Identifier: Apache-2.0
"""The contract of an image service. Source: drivers.interface.image."""

from __future__ import annotations

import hashlib
import io
import json
import random

import pytest

from drivers.interface.errors import ImageError, ImageNotFound
from drivers.interface.image import ImageStatus

from ..checks import leaks, outside
from ..checks.contents import difference
from ..interruption.interleave import interleaved
from ..interruption.kill import killed
from ..interruption.points import sources, spread

MIB = 1024**2
DATA = random.Random(3).randbytes(3 * MIB + 511)
STRANGE = [outside.RELATIVE, outside.ABSOLUTE, "", ".", "..", "a/b", "x" * 300, "a\0b"]


class TestShow:
    def test_metadata_is_complete_and_of_its_types(self, images):
        shown = images.service.show(images.context, images.image(DATA))

        assert isinstance(shown["id"], str) and isinstance(shown["name"], str)
        assert shown["status"] in set(ImageStatus)
        assert isinstance(shown["size"], int) and not isinstance(shown["size"], bool)
        assert isinstance(shown["properties"], dict)
        assert isinstance(shown["min_disk"], int) and isinstance(shown["min_ram"], int)
        assert shown["disk_format"] == "raw" and shown["container_format"] == "bare"
        assert shown.get("virtual_size") is None or isinstance(shown["virtual_size"], int)
        assert json.loads(json.dumps(dict(shown))) == dict(shown)

    def test_size_and_hashes_are_of_the_data(self, images):
        shown = images.service.show(images.context, images.image(DATA))

        assert shown["size"] == len(DATA)
        assert shown["status"] == ImageStatus.ACTIVE
        if shown.get("checksum"):
            assert shown["checksum"] == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
        if shown.get("os_hash_value"):
            assert shown["os_hash_value"] == hashlib.new(shown["os_hash_algo"], DATA).hexdigest()
        assert shown.get("checksum") or shown.get("os_hash_value")

    def test_image_without_data_is_queued(self, images):
        shown = images.service.show(images.context, images.image(None))

        assert shown["status"] == ImageStatus.QUEUED
        assert not shown["size"]

    @pytest.mark.parametrize(
        "image_id", ["11111111-2222-3333-4444-555555555555", *STRANGE], ids=outside.shown
    )
    def test_absent_image_is_not_found(self, images, image_id):
        self.assert_absent(images, image_id)

    def test_file_outside_is_no_image(self, images):
        with outside.file(MIB) as names:
            for name in names:
                self.assert_absent(images, name)

    def assert_absent(self, images, image_id):
        for call in (images.service.show, images.service.download):
            with pytest.raises(ImageNotFound):
                call(images.context, image_id)
        with pytest.raises(ImageNotFound):
            images.service.update(images.context, image_id, {}, iter([b"x"]))

    def test_properties_are_kept(self, images):
        image_id = images.image(b"x", properties={"hw_disk_bus": "scsi"}, min_disk=7)
        shown = images.service.show(images.context, image_id)

        assert shown["properties"]["hw_disk_bus"] == "scsi"
        assert shown["min_disk"] == 7

    def test_answer_is_not_changed_by_its_reader(self, images):
        image_id = images.image(b"x")
        shown = images.service.show(images.context, image_id)
        try:
            shown["name"] = "changed"
        except TypeError:
            return
        assert images.service.show(images.context, image_id)["name"] == "n"


class TestDownload:
    def test_chunks_are_the_data(self, images):
        assert difference(images.read(images.image(DATA)), DATA) is None

    @pytest.mark.parametrize("length", [1, 5000, len(DATA) + 1])
    def test_the_begin_is_the_same_data(self, images, length):
        begin = images.service.begin(images.context, images.image(DATA), length)

        assert difference(begin, DATA[:length]) is None

    def test_data_is_written_to_a_file(self, images):
        file = io.BytesIO()
        answer = images.service.download(images.context, images.image(DATA), file)

        assert answer is None
        assert file.getvalue() == DATA

    def test_zeros_are_part_of_it(self, images):
        data = b"a" + bytes(2 * MIB) + b"b" + bytes(MIB)
        assert difference(images.read(images.image(data)), data) is None

    def test_image_without_data_is_not_found(self, images):
        with pytest.raises(ImageNotFound):
            images.read(images.image(None))

    def test_empty_image_is_empty(self, images):
        image_id = images.image(b"")
        assert images.service.show(images.context, image_id)["size"] == 0
        assert images.read(image_id) == b""

    def test_another_instance_reads_it(self, images):
        assert difference(images.read(images.image(DATA), images.made()), DATA) is None

    def test_it_can_be_read_twice(self, images):
        image_id = images.image(DATA)
        first, second = images.read(image_id), images.read(image_id)
        assert difference(first, DATA) is None
        assert difference(second, DATA) is None


class TestUpdate:
    def test_data_makes_it_active(self, images):
        image_id = images.image(None)
        answer = images.service.update(images.context, image_id, {}, io.BytesIO(DATA))

        assert answer["status"] == ImageStatus.ACTIVE
        assert answer["size"] == len(DATA)
        assert answer["id"] == image_id
        assert difference(images.read(image_id), DATA) is None

    def test_earlier_data_is_replaced(self, images):
        image_id = images.image(DATA)
        images.service.update(images.context, image_id, {}, iter([b"new", b"er"]))

        assert images.read(image_id) == b"newer"
        assert images.service.show(images.context, image_id)["size"] == 5

    def test_metadata_alone_leaves_the_data(self, images):
        image_id = images.image(DATA)
        images.service.update(images.context, image_id, {"disk_format": "qcow2"})

        shown = images.service.show(images.context, image_id)
        assert shown["disk_format"] == "qcow2"
        assert shown["name"] == "n"
        assert shown["status"] == ImageStatus.ACTIVE
        assert difference(images.read(image_id), DATA) is None

    def test_metadata_alone_does_not_activate(self, images):
        image_id = images.image(None)
        images.service.update(images.context, image_id, {"disk_format": "qcow2"})

        assert images.service.show(images.context, image_id)["status"] == ImageStatus.QUEUED

    def test_a_repeated_call_is_the_same(self, images):
        image_id = images.image(None)
        for _ in range(2):
            images.service.update(images.context, image_id, {}, iter([DATA]))
        assert difference(images.read(image_id), DATA) is None

    def test_broken_source_leaves_no_half_image(self, images):
        image_id = images.image(b"whole")

        def broken():
            yield b"half"
            raise KeyError("the source has ended")

        with pytest.raises((KeyError, ImageError)):
            images.service.update(images.context, image_id, {}, broken())

        shown = images.service.show(images.context, image_id)
        if shown["status"] == ImageStatus.ACTIVE:
            assert images.read(image_id) == b"whole"
        else:
            with pytest.raises(ImageNotFound):
                images.read(image_id)

    def test_others_stay(self, images):
        kept, changed = images.image(b"kept"), images.image(b"old")
        images.service.update(images.context, changed, {"name": "new"}, iter([b"new"]))

        assert images.read(kept) == b"kept"
        assert images.service.show(images.context, kept)["name"] == "n"


class TestDelete:
    def test_it_is_gone(self, images):
        image_id = images.image(DATA)
        assert images.service.delete(images.context, image_id) is None

        with pytest.raises(ImageNotFound):
            images.service.show(images.context, image_id)
        with pytest.raises(ImageNotFound):
            images.read(image_id)

    def test_absence_is_success(self, images):
        image_id = images.image(DATA)
        for _ in range(2):
            images.service.delete(images.context, image_id)
        images.service.delete(images.context, images.new_id())

    def test_others_stay(self, images):
        kept, gone = images.image(b"kept"), images.image(b"gone")
        images.service.delete(images.context, gone)

        assert images.read(kept) == b"kept"

    def test_old_data_is_not_in_a_new_image_of_the_id(self, images):
        image_id = images.image(DATA)
        images.service.delete(images.context, image_id)
        images.service.create(images.context, {"id": image_id, "name": "n"})

        with pytest.raises(ImageNotFound):
            images.read(image_id)


class TestCreate:
    def test_id_is_kept(self, images):
        image_id = images.new_id()
        assert (
            images.service.create(images.context, {"id": image_id, "name": "n"})["id"] == image_id
        )

    def test_id_is_made_where_none_is_given(self, images):
        made = [images.service.create(images.context, {"name": "n"})["id"] for _ in range(2)]
        for image_id in made:
            images.service.delete(images.context, image_id)
        assert made[0] != made[1]

    def test_names_may_be_alike(self, images):
        one, other = images.image(b"one", name="same"), images.image(b"other", name="same")
        assert (images.read(one), images.read(other)) == (b"one", b"other")

    @pytest.mark.parametrize("image_id", [one for one in STRANGE if one], ids=outside.shown)
    def test_strange_id_is_refused(self, images, image_id):
        with pytest.raises((ImageError, ValueError)):
            images.service.create(images.context, {"id": image_id, "name": "n"}, iter([b"x"]))


class TestLocation:
    def test_it_is_an_address_and_a_list(self, images):
        direct, further = images.service.get_location(images.context, images.image(DATA))

        assert direct is None or isinstance(direct, str)
        assert further is None or isinstance(further, list)
        assert all(isinstance(one["url"], str) for one in further or ())


class TestRepetition:
    def test_open_files_do_not_grow(self, images):
        def cycle():
            image_id = images.image(DATA)
            images.read(image_id)
            images.service.delete(images.context, image_id)

        cycle()
        before = leaks.descriptors()
        for _ in range(6):
            cycle()
        assert leaks.descriptors() < before + 6


class TestCalls:
    """A kill, or another call, within a call."""

    def points(self, images, prepare):
        if not images.case.points:
            pytest.skip("the client of its server does not survive a fork")
        count = killed(prepare, sources(images.kind), -1)
        assert count
        return spread(count, 4 * images.case.points)  # a call takes little time

    def upload(self, images, image_id, data=DATA):
        def prepare():
            service = images.made()
            return lambda: service.update(images.context, image_id, {}, iter([data[:9], data[9:]]))

        return prepare

    def test_a_killed_upload_leaves_the_old_image_or_none_and_can_be_repeated(self, images):
        for at in self.points(images, self.upload(images, images.image(b"old"))):
            image_id = images.image(b"old")
            killed(self.upload(images, image_id), sources(images.kind), at)

            shown = images.made().show(images.context, image_id)
            if shown["status"] == ImageStatus.ACTIVE:
                data = images.read(image_id)
                assert data in (b"old", DATA)
                assert shown["size"] == len(data)
            images.made().update(images.context, image_id, {}, iter([DATA]))
            assert difference(images.read(image_id), DATA) is None
            assert images.service.show(images.context, image_id)["size"] == len(DATA)

    def test_a_deletion_removes_files_of_a_killed_upload(self, images):
        """The end of the test looks for them."""
        for at in self.points(images, self.upload(images, images.image(b"old"))):
            image_id = images.image(b"old")
            killed(self.upload(images, image_id), sources(images.kind), at)
            images.made().delete(images.context, image_id)

    def test_a_killed_creation_can_be_repeated(self, images):
        def prepare_for(image_id):
            def prepare():
                service = images.made()
                meta = {"id": image_id, "name": "n"}
                return lambda: service.create(images.context, meta, iter([DATA]))

            return prepare

        for at in self.points(images, prepare_for(images.new_id())):
            image_id = images.new_id()
            killed(prepare_for(image_id), sources(images.kind), at)
            prepare_for(image_id)()()
            assert difference(images.read(image_id), DATA) is None

    def test_a_killed_deletion_can_be_repeated(self, images):
        def prepare_for(image_id):
            def prepare():
                service = images.made()
                return lambda: service.delete(images.context, image_id)

            return prepare

        for at in self.points(images, prepare_for(images.image(DATA))):
            image_id = images.image(DATA)
            killed(prepare_for(image_id), sources(images.kind), at)
            images.made().delete(images.context, image_id)
            with pytest.raises(ImageNotFound):
                images.read(image_id)

    @pytest.mark.parametrize("is_same", [True, False], ids=["one instance", "two instances"])
    def test_two_uploads_at_once_do_not_disturb_each_other(self, images, is_same):
        for at in self.points(images, self.upload(images, images.image(b"old"))):
            one, other = images.image(None), images.image(None)
            first = images.made()
            second = first if is_same else images.made()
            interleaved(
                lambda first=first, one=one: first.update(
                    images.context, one, {}, iter([DATA[:9], DATA[9:]])
                ),
                lambda second=second, other=other: second.update(
                    images.context, other, {}, iter([b"other", b"data"])
                ),
                sources(images.kind),
                at,
            )
            assert (images.read(one), images.read(other)) == (DATA, b"otherdata")
            assert images.service.show(images.context, one)["size"] == len(DATA)

    def test_an_image_is_read_while_another_is_written(self, images):
        image_id = images.image(DATA)
        for at in self.points(images, self.upload(images, images.image(b"old"))):
            other = images.image(None)
            found = []
            interleaved(
                lambda other=other: images.service.update(
                    images.context, other, {}, iter([b"other"])
                ),
                lambda found=found: found.append(images.read(image_id)),
                sources(images.kind),
                at,
            )
            assert found == [DATA]
