# SPDX-License-Identifier: Apache-2.0
"""Hashes of an image are computed beside its copy, in order, and end with it."""

from __future__ import annotations

import hashlib
import random
import threading

import pytest

from drivers.image.hashes.hash_threads import HashThreads


def test_each_hash_gets_all_pieces_in_order() -> None:
    dice = random.Random(1)
    data = [dice.randbytes(dice.choice((0, 1, 5000, 100_000))) for _ in range(200)]
    md5, sha512 = hashlib.md5(), hashlib.sha512()
    with HashThreads([md5, sha512]) as hashed:
        for piece in data:
            hashed.update(piece)
        hashed.finish()

    whole = b"".join(data)
    assert md5.digest() == hashlib.md5(whole).digest()
    assert sha512.digest() == hashlib.sha512(whole).digest()


class Slow:
    """A hash that waits for the test."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.pieces: list[bytes] = []

    def update(self, piece: bytes) -> None:
        assert self.go_on.wait(60)
        self.pieces.append(piece)

    def hexdigest(self) -> str:
        return ""


def test_the_caller_goes_on_while_a_piece_is_hashed_but_not_for_ever() -> None:
    slow, passed = Slow(), threading.Semaphore(0)

    def add(hashed: HashThreads) -> None:
        for number in range(4):
            hashed.update(bytes([number]))
            passed.release()

    with HashThreads([slow]) as hashed:
        adding = threading.Thread(target=add, args=(hashed,))
        adding.start()
        assert passed.acquire(timeout=60)
        assert not slow.pieces  # a piece waits, and is not hashed
        assert not passed.acquire(timeout=0.05)
        slow.go_on.set()
        adding.join()
        hashed.finish()

    assert slow.pieces == [b"\0", b"\1", b"\2", b"\3"]


class Broken(Slow):
    def update(self, piece: bytes) -> None:
        raise ValueError("no hash")


def test_an_error_of_a_hash_is_the_callers() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="no hash"), HashThreads([Broken()]) as hashed:
        for _ in range(4):
            hashed.update(b"x")

    assert threading.active_count() == before
