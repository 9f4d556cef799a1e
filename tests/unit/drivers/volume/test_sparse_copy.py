# SPDX-License-Identifier: Apache-2.0
"""Copies of sparse files: same data, same holes, one moment."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.volume import sparse_copy
from tests.length import examples

BLOCK = 4096
END = 64 * BLOCK

WRITES = st.lists(
    st.tuples(st.integers(0, END - 1), st.binary(min_size=1, max_size=3 * BLOCK)), max_size=6
)


def refuse(*errors):
    """A system call that fails with each of these in turn, and then with the last."""
    left = list(errors)

    def call(*_args):
        raise OSError(left.pop(0) if len(left) > 1 else left[0], "refused")

    return call


@pytest.fixture(params=["reflink, if there is one", "copy_file_range", "read and write"])
def way(request, monkeypatch):
    """Each of the ways in which data can be copied."""
    if request.param != "reflink, if there is one":
        monkeypatch.setattr(sparse_copy.fcntl, "ioctl", refuse(errno.EOPNOTSUPP))
    if request.param == "read and write":
        monkeypatch.setattr(sparse_copy.os, "copy_file_range", refuse(errno.ENOSYS))
    return request.param


@pytest.fixture
def pair():
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        yield source.fileno(), target.fileno()


def fill(source, writes, size=END):
    for offset, data in writes:
        os.pwrite(source, data, offset)
    os.ftruncate(source, max(size, os.fstat(source).st_size))


def content(fd):
    return os.pread(fd, 2 * END, 0)


class TestCopy:
    def test_data_and_length_are_the_same(self, way, pair):
        source, target = pair
        fill(source, [(0, b"head"), (END // 2, b"middle"), (END - 4, b"tail")])

        sparse_copy.copy(source, target)

        assert content(target) == content(source)

    @pytest.mark.parametrize("unsupported", [(errno.EOPNOTSUPP,), (errno.EXDEV,), (errno.EPERM,)])
    @given(writes=WRITES)
    @settings(max_examples=examples(25), deadline=None)
    def test_any_pattern_is_the_same(self, unsupported, writes):
        with (
            pytest.MonkeyPatch.context() as patch,
            tempfile.TemporaryFile() as source,
            tempfile.TemporaryFile() as target,
        ):
            patch.setattr(sparse_copy.fcntl, "ioctl", refuse(*unsupported))
            fill(source.fileno(), writes)

            sparse_copy.copy(source.fileno(), target.fileno())

            assert content(target.fileno()) == content(source.fileno())

    def test_parts_smaller_than_the_data_are_put_together(self, way, pair, monkeypatch):
        monkeypatch.setattr(sparse_copy, "_PART", 1000)
        monkeypatch.setattr(sparse_copy, "_BUFFER", 700)
        source, target = pair
        fill(source, [(123, os.urandom(50_000))])

        sparse_copy.copy(source, target)

        assert content(target) == content(source)

    def test_holes_stay_holes(self, way, pair):
        source, target = pair
        fill(source, [(0, b"x" * BLOCK)], size=1 << 30)

        sparse_copy.copy(source, target)

        assert os.fstat(target).st_size == 1 << 30
        assert os.fstat(target).st_blocks <= os.fstat(source).st_blocks + 8

    def test_nothing_but_a_hole(self, way, pair):
        source, target = pair
        fill(source, [], size=1 << 30)

        sparse_copy.copy(source, target)

        assert (os.fstat(target).st_size, os.fstat(target).st_blocks) == (1 << 30, 0)

    def test_source_written_to_meanwhile_is_no_one_moment(self, pair, monkeypatch):
        source, target = pair
        fill(source, [(0, b"before")])
        os.utime(source, ns=(1, 1))
        monkeypatch.setattr(sparse_copy.fcntl, "ioctl", refuse(errno.EOPNOTSUPP))
        really = os.copy_file_range

        def write_meanwhile(*args):
            os.pwrite(source, b"during", 0)
            return really(*args)

        monkeypatch.setattr(sparse_copy.os, "copy_file_range", write_meanwhile)

        with pytest.raises(sparse_copy.ChangedMeanwhile):
            sparse_copy.copy(source, target)

    def test_source_cut_short_meanwhile_does_not_go_on_for_ever(self, pair, monkeypatch):
        source, target = pair
        fill(source, [(0, b"x" * END)])
        monkeypatch.setattr(sparse_copy.fcntl, "ioctl", refuse(errno.EOPNOTSUPP))
        monkeypatch.setattr(sparse_copy.os, "copy_file_range", lambda *_: 0)

        with pytest.raises(sparse_copy.ChangedMeanwhile):
            sparse_copy.copy(source, target)

    def test_too_little_room_is_told_before_anything_is_written(self, pair, monkeypatch):
        source, target = pair
        fill(source, [(0, b"x" * BLOCK)])
        os.fsync(source)
        monkeypatch.setattr(sparse_copy.fcntl, "ioctl", refuse(errno.EOPNOTSUPP))
        space = os.statvfs_result((BLOCK, BLOCK, 1, 0, 0, 1, 1, 1, 0, 255))
        monkeypatch.setattr(sparse_copy.os, "fstatvfs", lambda _fd: space)

        with pytest.raises(OSError) as caught:
            sparse_copy.copy(source, target)

        assert caught.value.errno == errno.ENOSPC
        assert os.fstat(target).st_size == 0

    @pytest.mark.parametrize("call", ["ioctl", "copy_file_range"])
    def test_another_error_is_not_taken_for_a_missing_feature(self, pair, monkeypatch, call):
        source, target = pair
        fill(source, [(0, b"x")])
        monkeypatch.setattr(sparse_copy.fcntl, "ioctl", refuse(errno.EOPNOTSUPP))
        module = sparse_copy.fcntl if call == "ioctl" else sparse_copy.os
        monkeypatch.setattr(module, call, refuse(errno.EIO))

        with pytest.raises(OSError) as caught:
            sparse_copy.copy(source, target)

        assert caught.value.errno == errno.EIO
