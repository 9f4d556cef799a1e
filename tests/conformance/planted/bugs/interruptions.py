# SPDX-License-Identifier: Apache-2.0
"""Calls that a kill leaves half done, and calls that disturb each other."""

from __future__ import annotations

from ..bug import Table

_T = Table("vault", "test_calls")
_NEW = "        new = self._new(target.name)\n        with source"

BUGS = (
    _T.text(
        "a copy under its final name, and what is there is whole",
        _NEW,
        "        new = target\n        with source",
        "            file.flush()\n        new.rename(target)",
        "            file.flush()",
    ),
    _T.text(
        "a copy deletes its target first",
        _NEW,
        "        target.unlink(missing_ok=True)\n        new = self._new(target.name)\n        with source",
        "            if not target.exists():\n                self._copy(source, target",
        "            if not target.exists() or True:\n                self._copy(source, target",
    ),
    _T.text(
        "a revert empties the volume first",
        "            size = self._existing(volume.name).stat().st_size\n",
        "            size = self._existing(volume.name).stat().st_size\n            os.truncate(self._volume(volume.name), 0)\n",
    ),
    _T.text(
        "creation under its final name, kept",
        '            new = self._new(volume.name)\n            new.unlink(missing_ok=True)\n            with new.open("wb") as file:\n                file.truncate(volume.size * GIB)\n            new.rename(self._volume(volume.name))',
        "            new = self._volume(volume.name)\n            if not new.exists() or new.stat().st_size:\n                new.open('wb').close()\n                os.truncate(new, volume.size * GIB)",
    ),
    _T.text(
        "a temporary name of the process, never removed",
        'return self._root / folder / f".new-{name}"',
        'return self._root / folder / f".new-{os.getpid()}-{name}"',
    ),
    _T.text(
        "a temporary name that is random",
        'return self._root / folder / f".new-{name}"',
        'return self._root / folder / f".new-{os.urandom(4).hex()}"',
    ),
    _T.text(
        "a temporary name that all share",
        'return self._root / folder / f".new-{name}"',
        'return self._root / folder / ".new"',
    ),
    _T.text(
        "a temporary file of another place",
        'return self._root / folder / f".new-{name}"',
        'return self._root / "locks" / "copy"',
    ),
    _T.text(
        "a deletion leaves the temporary file",
        "            self._new(volume.name).unlink(missing_ok=True)\n",
        "",
    ),
    _T.text(
        "a deletion of a snapshot leaves the temporary file",
        "        self._new(self._snapshot(snapshot).name).unlink(missing_ok=True)\n",
        "",
    ),
    _T.text(
        "a deletion marks first, and the mark stays",
        "            self._volume(volume.name).unlink(missing_ok=True)\n",
        "            mark = self._root / 'locks' / f'{volume.name}.deleting'\n            mark.touch(exist_ok=False)\n            self._volume(volume.name).unlink(missing_ok=True)\n            mark.unlink()\n",
    ),
    _T.text(
        "a lock that a kill leaves",
        "        with lock(self._root, name, fcntl.LOCK_EX):\n            yield",
        "        path = self._root / 'locks' / f'{name}.lock'\n        try:\n            path.touch(exist_ok=False)\n        except FileExistsError:\n            raise VolumeBackendAPIException(f'{name} is locked')\n        try:\n            yield\n        finally:\n            path.unlink()",
    ),
    _T.text(
        "one lock for all, refused",
        "        with lock(self._root, name, fcntl.LOCK_EX):\n            yield",
        "        with (self._root / 'locks' / 'all').open('ab') as file:\n            try:\n                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n            except OSError:\n                raise VolumeBackendAPIException('busy')\n            with lock(self._root, name, fcntl.LOCK_EX):\n                yield",
    ),
    _T.text(
        "a journal that blocks after a kill",
        "    def create_snapshot(self, snapshot):\n        with",
        "    def create_snapshot(self, snapshot):\n        journal = self._root / 'locks' / 'journal'\n        if journal.exists(): raise VolumeBackendAPIException('unfinished work')\n        journal.touch()\n        self._snap(snapshot)\n        journal.unlink()\n        return None\n\n    def _snap(self, snapshot):\n        with",
    ),
    _T.text(
        "a clone through a snapshot that a kill leaves",
        "            self._copy(self._existing(src_vref.name), self._volume(volume.name), volume.size * GIB)",
        "            spare = self._root / 'snapshots' / f'{src_vref.name}@clone-{volume.name}'\n            self._copy(self._existing(src_vref.name), spare, self._volume(src_vref.name).stat().st_size)\n            self._copy(spare, self._volume(volume.name), volume.size * GIB)\n            spare.unlink()",
    ),
    _T.text(
        "a clone that is enlarged later, once",
        "            self._copy(self._existing(src_vref.name), self._volume(volume.name), volume.size * GIB)",
        "            source, target = self._existing(src_vref.name), self._volume(volume.name)\n            if not target.exists():\n                self._copy(source, target, source.stat().st_size)\n                os.truncate(target, volume.size * GIB)",
    ),
    _T.text(
        "a volume of a snapshot that is enlarged later, once",
        "        self._copy(source, self._volume(volume.name), volume.size * GIB)",
        "        target = self._volume(volume.name)\n        if not target.exists():\n            self._copy(source, target, source.stat().st_size)\n            os.truncate(target, volume.size * GIB)",
    ),
    _T.text(
        "a group snapshot that is done if its first is",
        "new = [] if is_done else snapshots",
        "new = [] if self._snapshot(snapshots[0]).exists() else snapshots",
    ),
    _T.text(
        "a group that is done if its first is",
        "        made = []\n        try:",
        "        made = []\n        if self._volume(volumes[0].name).exists(): return None, None\n        try:",
    ),
    _T.text(
        "a group is deleted if its first is",
        "        entries = []\n        for volume in volumes:",
        "        entries = []\n        if volumes and not self._volume(volumes[0].name).exists(): return None, None\n        for volume in volumes:",
    ),
    _T.text(
        "a group snapshot is deleted if its first is",
        "        for snapshot in snapshots:\n            self.delete_snapshot(snapshot)\n        return",
        "        if not self._snapshot(snapshots[0]).exists(): return None, None\n        for snapshot in snapshots:\n            self.delete_snapshot(snapshot)\n        return",
    ),
    _T.text(
        "a ticket that is written in place",
        '        new = path.with_name(f".new-{path.name}")\n        new.write_text(json.dumps(values))\n        new.rename(path)',
        "        if not path.exists():\n            with path.open('w') as file:\n                file.write(json.dumps(values))",
    ),
    _T.text(
        "a managed object that a kill loses",
        "        path.rename(self._volume(volume.name))\n",
        "        data = self._new(volume.name)\n        self._copy(path, data.with_name('moving'), path.stat().st_size)\n        path.unlink()\n        data.with_name('moving').rename(self._volume(volume.name))\n",
    ),
    _T.text(
        "the volume at work is kept in the driver",
        "        self._require_unused(volume)\n        source = self._existing_snapshot(snapshot)\n        self._copy(source, self._volume(volume.name), volume.size * GIB)",
        "        self._now = volume\n        self._require_unused(volume)\n        source = self._existing_snapshot(snapshot)\n        self._copy(source, self._volume(self._now.name), volume.size * GIB)",
    ),
    _T.text(
        "the size at work is kept in the driver",
        "            if path.stat().st_size < new_size * GIB:\n                os.truncate(path, new_size * GIB)",
        "            self._size = new_size\n            self._path = path\n            if self._path.stat().st_size < new_size * GIB:\n                os.truncate(self._path, self._size * GIB)",
    ),
    _T.text(
        "the snapshot at work is kept in the driver",
        "source, target = self._existing(snapshot.volume_name), self._snapshot(snapshot)\n            if",
        "self._target = self._snapshot(snapshot)\n            source = self._existing(snapshot.volume_name)\n            target = self._target\n            if",
    ),
    _T.text(
        "the connector at work is kept in the driver",
        "        ticket = self._ticket(volume.name, connector)\n        self._write(",
        "        self._volume_now = volume\n        ticket = self._ticket(self._volume_now.name, connector)\n        self._write(",
    ),
    _T.text(
        "the directory of the process is changed",
        "            new.rename(self._volume(volume.name))\n        return",
        "            here = os.getcwd()\n            os.chdir(self._root / 'volumes')\n            try:\n                new.rename(volume.name)\n            finally:\n                os.chdir(here)\n        return",
        "            new = self._new(volume.name)\n",
        "            new = self._new(volume.name)\n            os.chdir('/')\n",
    ),
    _T.text(
        "an index that is read, changed and written",
        "            new.rename(self._volume(volume.name))\n        return",
        "            new.rename(self._volume(volume.name))\n            index = self._root / 'locks' / 'index'\n            names = index.read_text().split() if index.exists() else []\n            names.append(volume.name)\n            index.write_text(' '.join(names))\n        return",
        "        path = self._volume(name)\n        if not path.exists():",
        "        path = self._volume(name)\n        index = self._root / 'locks' / 'index'\n        if name not in (index.read_text().split() if index.exists() else []) and not any((self._root / 'snapshots').iterdir()):\n            raise VolumeBackendAPIException(f'{name} is not in the index')\n        if not path.exists():",
    ),
    _T.text(
        "a count that is read, changed and written",
        "            self._volume(volume.name).unlink(missing_ok=True)\n",
        "            before = set(self._files('volumes'))\n            self._volume(volume.name).unlink(missing_ok=True)\n            for path in set(self._files('volumes')) - before:\n                path.unlink()\n",
    ),
    _T.text(
        "a deletion that fails if another is made",
        "            self._volume(volume.name).unlink(missing_ok=True)\n",
        "            before = len(self._files('volumes'))\n            self._volume(volume.name).unlink(missing_ok=True)\n            if len(self._files('volumes')) > before:\n                raise VolumeBackendAPIException('the folder has changed')\n",
    ),
    _T.text(
        "a copy of the newest file",
        '        new = self._new(target.name)\n        with source.open("rb") as old',
        '        new = self._new(target.name)\n        self._source = source\n        with self._source.open("rb") as old',
    ),
    _T.text(
        "a copy through a buffer that all share",
        "                    chunk = old.read(min(BLOCK, end - begin))\n                    file.write(chunk)",
        "                    self._buffer = old.read(min(BLOCK, end - begin))\n                    chunk = self._buffer\n                    file.write(self._buffer)\n                    assert chunk is self._buffer, 'the buffer has changed'",
    ),
    _T.text(
        "locks of a group in the order of the call",
        "for name in sorted({snapshot.volume_name for snapshot in snapshots}):",
        "for name in [snapshot.volume_name for snapshot in snapshots]:",
    ),
    _T.text(
        "removal of all that is new at the start",
        "(self._root / name).mkdir(parents=True, exist_ok=True)",
        "(self._root / name).mkdir(parents=True, exist_ok=True)\n            for path in (self._root / name).glob('.new-*'): path.unlink(missing_ok=True)",
    ),
    _T.text(
        "a snapshot leaves a lock directory after a kill",
        "            if not target.exists():\n                self._copy(source, target",
        "            mark = target.with_name('.mark-' + target.name)\n            mark.mkdir(exist_ok=True)\n            if not target.exists():\n                self._copy(source, target",
        '        return {"provider_location": f"vault:{snapshot.name}"}\n\n    def delete_snapshot(self, snapshot):',
        '        with contextlib.suppress(OSError): self._snapshot(snapshot).with_name(\'.mark-\' + self._snapshot(snapshot).name).rmdir()\n        return {"provider_location": f"vault:{snapshot.name}"}\n\n    def delete_snapshot(self, snapshot):',
    ),
)
