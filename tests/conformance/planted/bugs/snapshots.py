# SPDX-License-Identifier: Apache-2.0
"""Snapshots, volumes made of them, reverts, and changed extents."""

from __future__ import annotations

from ..bug import Table

_T = Table("vault", "test_snapshots")
_M = Table("vault", "test_moments")
_SNAP = "self._copy(source, target, source.stat().st_size)\n        return"
_REVERT = "self._copy(self._existing_snapshot(snapshot), self._volume(volume.name), size)"
_FROM = "self._copy(source, self._volume(volume.name), volume.size * GIB)"

BUGS = (
    _T.text("a snapshot is a link", _SNAP, "os.link(source, target)\n        return"),
    _T.text(
        "a snapshot is empty",
        _SNAP,
        "target.touch(); os.truncate(target, source.stat().st_size)\n        return",
    ),
    _T.text(
        "a snapshot moves the volume",
        _SNAP,
        "source.rename(target); self._copy(target, source, 0)\n        return",
    ),
    _T.text(
        "a snapshot clears the volume",
        _SNAP,
        "self._copy(source, target, source.stat().st_size); os.truncate(source, 0); os.truncate(source, GIB)\n        return",
    ),
    _T.text(
        "a snapshot again is taken again",
        "if not target.exists():\n                self._copy",
        "if True:\n                self._copy",
    ),
    _T.before(
        "a snapshot again is an error",
        "create_snapshot",
        "if self._snapshot(snapshot).exists(): raise VolumeBackendAPIException('it exists')",
    ),
    _T.text(
        "a snapshot of an absent volume is empty",
        "source, target = self._existing(snapshot.volume_name), self._snapshot(snapshot)",
        "source, target = self._volume(snapshot.volume_name), self._snapshot(snapshot); source.touch()",
    ),
    _T.before(
        "a snapshot of an absent volume is ignored",
        "create_snapshot",
        "if not self._volume(snapshot.volume_name).exists(): return None",
    ),
    _T.before(
        "a volume in use cannot be snapped",
        "create_snapshot",
        "self._require_unused(snapshot.volume)",
    ),
    _T.before(
        "a snapshot ends the connections",
        "create_snapshot",
        "self.terminate_connection(snapshot.volume, None)",
    ),
    _T.text(
        "snapshots of a volume share a file",
        'f"{snapshot.volume_name}@{snapshot.name}"',
        'f"{snapshot.volume_name}@snapshot"',
    ),
    _T.after(
        "a snapshot leaves a clone",
        "create_snapshot",
        "(self._root / 'volumes' / f'clone-of-{snapshot.name}').touch()",
    ),
    _T.after(
        "a snapshot leaves an export",
        "create_snapshot",
        "(self._root / 'exports' / snapshot.volume_name).touch()",
    ),
    _T.text(
        "deletion of a snapshot does nothing",
        "        self._snapshot(snapshot).unlink(missing_ok=True)\n\n",
        "\n",
    ),
    _T.text(
        "deletion of an absent snapshot is an error",
        "        self._snapshot(snapshot).unlink(missing_ok=True)\n\n",
        "        self._snapshot(snapshot).unlink()\n\n",
    ),
    _T.text(
        "deletion of a snapshot removes all",
        "        self._snapshot(snapshot).unlink(missing_ok=True)\n\n",
        "        for path in self._snapshots_of(snapshot.volume_name): path.unlink()\n\n",
    ),
    _T.text(
        "deletion of a snapshot hides it",
        "        self._snapshot(snapshot).unlink(missing_ok=True)\n\n",
        "        path = self._snapshot(snapshot)\n        path.exists() and path.rename(path.with_name('.deleted-' + path.name))\n\n",
    ),
    _T.after(
        "deletion of a snapshot removes the volume",
        "delete_snapshot",
        "self._volume(snapshot.volume_name).unlink(missing_ok=True)",
    ),
    _T.after(
        "deletion of a snapshot reverts the volume",
        "delete_snapshot",
        "p = self._volume(snapshot.volume_name)\nif p.exists(): s = p.stat().st_size; os.truncate(p, 0); os.truncate(p, s)",
    ),
    _T.after(
        "deletion of a snapshot ends connections",
        "delete_snapshot",
        "self.terminate_connection(snapshot.volume, None)",
    ),
    _M.text(
        "deleting a snapshot breaks its volumes",
        _FROM,
        "self._copy(source, self._volume(volume.name), volume.size * GIB)\n        (self._root / 'locks' / f'{snapshot.name}+{volume.name}').touch()",
        "        self._snapshot(snapshot).unlink(missing_ok=True)\n\n",
        "        for path in (self._root / 'locks').glob(f'{snapshot.name}+*'):\n            child = self._volume(path.name.partition('+')[2])\n            if child.exists(): size = child.stat().st_size; os.truncate(child, 0); os.truncate(child, size)\n            path.unlink()\n        self._snapshot(snapshot).unlink(missing_ok=True)\n\n",
    ),
    _M.text(
        "a volume of a snapshot is a symbolic link",
        _FROM,
        "self._volume(volume.name).unlink(missing_ok=True); os.symlink(source, self._volume(volume.name))",
    ),
    _M.text(
        "a volume of a snapshot is a link",
        _FROM,
        "self._volume(volume.name).unlink(missing_ok=True); os.link(source, self._volume(volume.name)); os.truncate(source, volume.size * GIB)",
    ),
    _T.text(
        "a volume of a snapshot has its size",
        _FROM,
        "self._copy(source, self._volume(volume.name), source.stat().st_size)",
    ),
    _T.text("a volume of a snapshot is empty", _FROM, "self.create_volume(volume)"),
    _T.text(
        "a volume of a snapshot is of the volume",
        _FROM,
        "self._copy(self._existing(snapshot.volume_name), self._volume(volume.name), volume.size * GIB)",
    ),
    _T.text(
        "a volume of a snapshot moves it",
        _FROM,
        "source.rename(self._volume(volume.name)); os.truncate(self._volume(volume.name), volume.size * GIB)",
    ),
    _T.text(
        "a volume of a snapshot keeps old data",
        _FROM,
        "self._volume(volume.name).exists() or self._copy(source, self._volume(volume.name), volume.size * GIB)",
    ),
    _T.text(
        "a volume of a snapshot one GiB too large",
        _FROM,
        "self._copy(source, self._volume(volume.name), (volume.size + 1) * GIB)",
    ),
    _T.before(
        "a volume of a snapshot again is an error",
        "create_volume_from_snapshot",
        "if self._volume(volume.name).exists(): raise VolumeBackendAPIException('it exists')",
    ),
    _T.before(
        "a volume of an absent snapshot is empty",
        "create_volume_from_snapshot",
        "if not self._snapshot(snapshot).exists(): return self.create_volume(volume)",
    ),
    _T.text("a revert does nothing", _REVERT, "self._existing_snapshot(snapshot)"),
    _T.text(
        "a revert takes the snapshot's size",
        _REVERT,
        "self._copy(self._existing_snapshot(snapshot), self._volume(volume.name), self._snapshot(snapshot).stat().st_size)",
    ),
    _T.text(
        "a revert uses the snapshot up",
        _REVERT,
        "self._existing_snapshot(snapshot).rename(self._volume(volume.name)); os.truncate(self._volume(volume.name), size)",
    ),
    _T.text(
        "a revert of an absent snapshot clears",
        _REVERT,
        "self._snapshot(snapshot).exists() or os.truncate(self._volume(volume.name), 0)\n            self._copy(self._existing_snapshot(snapshot), self._volume(volume.name), size)",
    ),
    _T.text(
        "a revert of an absent snapshot is ignored",
        _REVERT,
        "self._snapshot(snapshot).exists() and self._copy(self._existing_snapshot(snapshot), self._volume(volume.name), size)",
    ),
    _M.after(
        "a revert deletes newer snapshots",
        "revert_to_snapshot",
        "own = self._snapshot(snapshot)\nfor path in self._snapshots_of(volume.name):\n    if path.stat().st_mtime_ns > own.stat().st_mtime_ns: path.unlink()",
    ),
    _M.after(
        "a revert deletes other snapshots",
        "revert_to_snapshot",
        "own = self._snapshot(snapshot)\nfor path in self._snapshots_of(volume.name):\n    if path != own: path.unlink()",
    ),
    _M.after(
        "a revert deletes its snapshot", "revert_to_snapshot", "self._snapshot(snapshot).unlink()"
    ),
    _M.text(
        "a revert to the newest snapshot",
        _REVERT,
        "self._copy(max(self._snapshots_of(volume.name), key=lambda p: p.stat().st_mtime_ns), self._volume(volume.name), size)",
    ),
    _T.text(
        "a revert keeps newer data",
        _REVERT,
        "with self._existing_snapshot(snapshot).open('rb') as old, self._volume(volume.name).open('r+b') as file: file.write(old.read(BLOCK))",
    ),
    _M.after(
        "a revert leaves a safety copy",
        "revert_to_snapshot",
        "(self._root / 'snapshots' / f'safety@{volume.name}').touch()",
    ),
    _M.text(
        "a snapshot in two halves",
        _SNAP,
        "size = source.stat().st_size; self._halves(source, target, size)\n        return",
        "    @contextlib.contextmanager\n    def _locked(self, name):",
        "    def _halves(self, source, target, size):\n        new = self._new(target.name)\n        with source.open('rb') as old, new.open('wb') as file:\n            file.truncate(size)\n            for place in (0, GIB // 2, GIB - 4096):\n                old.seek(place); file.seek(place)\n                data = old.read(4096)\n                file.write(data)\n        new.rename(target)\n\n    @contextlib.contextmanager\n    def _locked(self, name):",
        "        with self._locked(snapshot.volume_name):\n            source, target",
        "        with contextlib.nullcontext():\n            source, target",
    ),
    _M.text(
        "a snapshot without the lock",
        "        with self._locked(snapshot.volume_name):\n            source, target",
        "        with contextlib.nullcontext():\n            source, target",
    ),
    _M.text(
        "a clone without the lock",
        "        with self._locked(src_vref.name):\n",
        "        with contextlib.nullcontext():\n",
    ),
    _M.text(
        "a group snapshot one by one",
        "                stack.enter_context(self._locked(name))",
        "                pass",
    ),
    _M.text(
        "a group snapshot locks the first only",
        "for name in sorted({snapshot.volume_name for snapshot in snapshots}):",
        "for name in sorted({snapshot.volume_name for snapshot in snapshots})[:1]:",
    ),
    _M.after("no extent has changed", "changed_extents", "answer = []"),
    _M.after("extents as text", "changed_extents", "answer = str(answer)"),
    _M.after(
        "extents of text", "changed_extents", "answer = [(str(a), str(b)) for a, b in answer]"
    ),
    _M.after(
        "extents as begin and length", "changed_extents", "answer = [(a, b - a) for a, b in answer]"
    ),
    _M.after(
        "extents in blocks",
        "changed_extents",
        "answer = [(a // BLOCK, b // BLOCK) for a, b in answer]",
    ),
    _M.after("extents without the first", "changed_extents", "answer = answer[1:]"),
    _M.after("extents without the last", "changed_extents", "answer = answer[:-1]"),
    _M.after("extents backwards", "changed_extents", "answer = answer[::-1]"),
    _M.after("extents that overlap", "changed_extents", "answer = [(0, 2**30), *answer]"),
    _M.after("empty extents", "changed_extents", "answer = [(0, 0), *answer]"),
    _M.after("extents as triples", "changed_extents", "answer = [(a, b, True) for a, b in answer]"),
    _M.after(
        "one extent instead of a list", "changed_extents", "answer = answer[0] if answer else None"
    ),
    _M.after("extents that are false", "changed_extents", "answer = False"),
    _M.text(
        "extents compare the volume with itself",
        "return _differences(path, self._existing_snapshot(since))",
        "return _differences(path, path)",
    ),
    _M.text(
        "extents of new data only",
        "for file in (new, old):\n            for begin",
        "for file in (new,):\n            for begin",
    ),
    _M.text(
        "extents ignore zeroed blocks",
        "if contents[0] != contents[1]:",
        "if contents[0] != contents[1] and any(contents[0]):",
    ),
    _M.text(
        "extents of a snapshot are of the volume",
        "            self._existing_snapshot(source)\n            if",
        "            self._existing(since.volume_name)\n            if",
    ),
    _M.text("extents end a block early", "(block + 1) * BLOCK))", "block * BLOCK + 512))"),
    _M.text(
        "an absent snapshot has not changed",
        "return _differences(path, self._existing_snapshot(since))",
        "return _differences(path, self._existing_snapshot(since)) if self._snapshot(since).exists() else []",
    ),
)
