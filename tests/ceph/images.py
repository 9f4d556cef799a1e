# SPDX-License-Identifier: Apache-2.0
"""Images, snapshots and their differences, as the module ``rbd`` has them.

An image is a directory with an index, which names the data of each object at each point in time: a
file that is never changed. An object consists of blocks with the number of their last write, so a
diff reports all writes, whether or not the data is different, as Ceph's does. An object that is
absent at both points is in no diff.
"""

from __future__ import annotations

import functools
import itertools
import os
import pickle
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.ceph.objects import Ioctx, locked, replace

OBJECT = 64 * 1024
"""Bytes of an object; Ceph's have 4 MiB."""

BLOCK = 4096

FEATURES = {"LAYERING": 1, "EXCLUSIVE_LOCK": 4, "OBJECT_MAP": 8, "FAST_DIFF": 16}
FEATURES |= {"STRIPINGV2": 2, "JOURNALING": 64}

Blocks = dict[int, tuple[int, bytes]]

_COUNTER = itertools.count()


class Error(Exception):
    """Root of the errors."""


class ImageNotFound(Error):
    """There is no such image or snapshot."""


class ImageExists(Error):
    """The image or snapshot is there."""


class ImageBusy(Error):
    """The image is open."""


class ImageHasSnapshots(Error):
    """The image cannot be removed."""


class ReadOnlyImage(Error):
    """The image was opened to be read."""


class ConnectionShutdown(Error):
    """The client was shut out of the cluster."""


class RBD:
    """Calls on a pool."""

    def list(self, context: Ioctx) -> list[str]:
        return sorted(path.name for path in (context.path / "images").glob("[!.]*"))

    def create(self, context: Ioctx, name: str, size: int, **options: Any) -> None:
        path = context.path / "images" / name
        with locked(context.path):
            if path.exists():
                raise ImageExists(name)
            made = path.parent / f".{uuid.uuid4()}"
            (made / "data").mkdir(parents=True)
            features = options.get("features", sum(FEATURES.values()) - FEATURES["JOURNALING"])
            index = {"size": size, "features": features, "objects": {}, "snaps": [], "metadata": {}}
            replace(made / "index", pickle.dumps({**index, "options": options}))
            made.rename(path)

    def remove(self, context: Ioctx, name: str) -> None:
        path = context.path / "images" / name
        with locked(context.path):
            if not path.exists():
                raise ImageNotFound(name)
            if pickle.loads((path / "index").read_bytes())["snaps"]:
                raise ImageHasSnapshots(name)
            gone = path.parent / f".{uuid.uuid4()}"
            path.rename(gone)
        shutil.rmtree(gone)


class Image:
    """An open image."""

    def __init__(
        self, context: Ioctx, name: str, snapshot: str | None = None, read_only: bool = False
    ) -> None:
        self._path = context.path / "images" / name
        self._name, self._snapshot, self._read_only = name, snapshot, read_only or bool(snapshot)
        self._guard = threading.RLock()
        self._context, self._handle = context, str(uuid.uuid4())
        self._point()

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back, unless the client was shut out."""
        if not self._context.is_shut_out and self._has_lock:
            self.lock_release()

    @property
    def _has_lock(self) -> bool:
        lock = self._index().get("lock") if self._path.exists() else None
        return lock is not None and lock["handle"] == self._handle

    def is_exclusive_lock_owner(self) -> bool:
        return self._has_lock

    def lock_acquire(self, mode: int) -> None:
        with self._changed() as index:
            if self._has_lock:
                return
            if index.get("lock") is not None:
                raise ReadOnlyImage(self._name)
            index["lock"] = {"owner": self._context.client, "mode": mode, "handle": self._handle}

    def lock_release(self) -> None:
        with self._changed() as index:
            index["lock"] = None

    def lock_get_owners(self) -> Iterator[dict[str, Any]]:
        lock = self._index().get("lock")
        return iter([] if lock is None else [{name: lock[name] for name in ("owner", "mode")}])

    def lock_break(self, mode: int, owner: str) -> None:
        """Shut the owner out of the cluster, then take its lock."""
        with self._changed() as index:
            lock = index.get("lock")
            if lock is None or lock["owner"] != owner:
                raise ImageNotFound(self._name)
            self._context.shut_out(owner)
            index["lock"] = None

    def get_name(self) -> str:
        return self._name

    def size(self) -> int:
        return int(self._point()["size"])

    def features(self) -> int:
        return int(self._index()["features"])

    def flags(self) -> int:
        return 0

    def overlap(self) -> int:
        return 0

    def flush(self) -> None:
        pass

    def list_snaps(self) -> Iterator[dict[str, Any]]:
        return iter([{"name": one["name"], "size": one["size"]} for one in self._index()["snaps"]])

    def create_snap(self, name: str) -> None:
        with self._changed() as index:
            if any(one["name"] == name for one in index["snaps"]):
                raise ImageExists(name)
            point = {"name": name, "size": index["size"], "objects": dict(index["objects"])}
            point["unseen"] = set(index.get("unseen", ()))
            index["snaps"].append(point)

    def remove_snap(self, name: str) -> None:
        with self._changed() as index:
            rest = [one for one in index["snaps"] if one["name"] != name]
            if len(rest) == len(index["snaps"]):
                raise ImageNotFound(name)
            index["snaps"] = rest

    def rollback_to_snap(self, name: str) -> None:
        """Set the image back; like librbd's, its object map then says that nothing changed."""
        with self._changed() as index:
            point = _named(index, name)
            index["size"], index["objects"] = point["size"], dict(point["objects"])
            index["unseen"] = set(index["objects"])

    def metadata_get(self, key: str) -> str:
        return str(self._index()["metadata"][key])

    def metadata_set(self, key: str, value: str) -> None:
        with self._changed() as index:
            index["metadata"][key] = value

    def resize(self, size: int) -> None:
        with self._changed() as index:
            index["size"] = size
            index["objects"] = {n: f for n, f in index["objects"].items() if n * OBJECT < size}

    def read(self, offset: int, length: int) -> bytes:
        point = self._point()
        assert offset + length <= point["size"], "behind the end"
        found = bytearray(length)
        for number in range(offset // OBJECT, -(-(offset + length) // OBJECT)):
            for block, (_, data) in self._blocks(point, number).items():
                at = number * OBJECT + block * BLOCK - offset
                begin, end = max(0, at), min(length, at + BLOCK)
                if begin < end:
                    found[begin:end] = data[begin - at : end - at]
        return bytes(found)

    def write(self, data: bytes, offset: int) -> int:
        assert offset + len(data) <= self.size(), "behind the end"
        self._require_writable()
        old = self._around(offset, len(data))
        first = offset - offset % BLOCK
        whole = bytearray(old)
        whole[offset - first : offset - first + len(data)] = data
        self._put(first, bytes(whole))
        return len(data)

    def write_zeroes(self, offset: int, length: int) -> None:
        end = offset + length
        assert end <= self.size(), "behind the end"
        self._require_writable()
        head, tail = min(end, offset + -offset % OBJECT), max(offset, end - end % OBJECT)
        with self._changed() as index:  # whole objects vanish
            for number in range(head // OBJECT, tail // OBJECT):
                index["objects"].pop(number, None)
                index.get("unseen", set()).discard(number)
        for start, stop in ((offset, head), (max(head, tail), end)):
            if start < stop and self.read(start, stop - start).strip(b"\0"):
                self.write(bytes(stop - start), start)

    def diff_iterate(
        self,
        offset: int,
        length: int,
        from_snapshot: str | None,
        callback: Callable[[int, int, bool], None],
        include_parent: bool = True,
        whole_object: bool = False,
    ) -> None:
        index, end = self._index(), self._point()
        start: dict[str, Any] = {"objects": {}}
        if from_snapshot is not None:
            start = _named(index, from_snapshot)
        numbers = sorted({*start["objects"], *end["objects"]})
        for number in numbers:
            if not offset < (number + 1) * OBJECT or not number * OBJECT < offset + length:
                continue
            if start["objects"].get(number) == end["objects"].get(number):
                continue
            before, after = self._blocks(start, number), self._blocks(end, number)
            changed = {one for one in {*before, *after} if before.get(one) != after.get(one)}
            if not changed:
                continue
            base = number * OBJECT
            if whole_object and before and after and number in end.get("unseen", ()):
                continue
            if whole_object:
                _report(callback, base, min(base + OBJECT, end["size"]), bool(after))
                continue
            for block in sorted(changed):
                at = base + block * BLOCK
                begin, stop = max(at, offset), min(at + BLOCK, offset + length, end["size"])
                _report(callback, begin, stop, block in after)

    def _around(self, offset: int, length: int) -> bytes:
        """Return the blocks that a range touches."""
        first, end = offset - offset % BLOCK, offset + length
        end = min(end + -end % BLOCK, self.size())
        return self.read(first, end - first)

    def _put(self, first: int, data: bytes) -> None:
        with self._changed() as index:
            for number in range(first // OBJECT, -(-(first + len(data)) // OBJECT)):
                blocks = self._blocks(index, number)
                begin = max(first, number * OBJECT)
                for at in range(begin, min(first + len(data), (number + 1) * OBJECT), BLOCK):
                    part = data[at - first : at - first + BLOCK]
                    blocks[at % OBJECT // BLOCK] = (uuid.uuid4().int, part)
                name = f"{os.getpid()}-{next(_COUNTER)}"
                replace(self._path / "data" / name, pickle.dumps(blocks))
                index["objects"][number] = name
                index.get("unseen", set()).discard(number)

    def _blocks(self, point: dict[str, Any], number: int) -> Blocks:
        name = point["objects"].get(number)
        if name is None:
            return {}
        return dict(_stored(str(self._path / "data" / name)))

    def _require_writable(self) -> None:
        if self._index().get("lock") is not None and not self._has_lock:
            raise ReadOnlyImage(self._name)

    def _index(self) -> dict[str, Any]:
        if self._context.is_shut_out:
            raise ConnectionShutdown("[errno 108] shut out")
        try:
            found: dict[str, Any] = pickle.loads((self._path / "index").read_bytes())
        except FileNotFoundError:
            raise ImageNotFound(self._name) from None
        return found

    def _point(self) -> dict[str, Any]:
        index = self._index()
        return index if self._snapshot is None else _named(index, self._snapshot)

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        """Change the index; others see all of the change or nothing."""
        if self._read_only:
            raise ReadOnlyImage(self._name)
        with self._guard, locked(self._path.parent.parent):
            index = self._index()
            yield index
            replace(self._path / "index", pickle.dumps(index))


@functools.lru_cache(maxsize=64)
def _stored(path: str) -> Blocks:
    """Return the content of a file, which never changes."""
    found: Blocks = pickle.loads(Path(path).read_bytes())
    return found


def _named(index: dict[str, Any], snapshot: str) -> dict[str, Any]:
    for one in index["snaps"]:
        if one["name"] == snapshot:
            return dict(one)
    raise ImageNotFound(snapshot)


def _report(callback: Callable[[int, int, bool], None], start: int, end: int, has: bool) -> None:
    if start < end:
        callback(start, end - start, has)


def module() -> Any:
    """Return the module."""
    return SimpleNamespace(
        RBD=RBD,
        Image=Image,
        Error=Error,
        ConnectionShutdown=ConnectionShutdown,
        RBD_LOCK_MODE_EXCLUSIVE=0,
        ImageNotFound=ImageNotFound,
        ImageExists=ImageExists,
        ImageBusy=ImageBusy,
        ImageHasSnapshots=ImageHasSnapshots,
        **{f"RBD_FEATURE_{name}": value for name, value in FEATURES.items()},
    )
