# SPDX-License-Identifier: Apache-2.0
"""Creation, deletion, extension and cloning of volumes."""

from __future__ import annotations

from ..bug import Table

_T = Table("vault", "test_volumes")
_MADE = "self._volume(volume.name)"

BUGS = (
    _T.text(
        "sizes in GB", "file.truncate(volume.size * GIB)", "file.truncate(volume.size * 10**9)"
    ),
    _T.text("every volume has 1 GiB", "file.truncate(volume.size * GIB)", "file.truncate(GIB)"),
    _T.text(
        "one sector is missing",
        "file.truncate(volume.size * GIB)",
        "file.truncate(volume.size * GIB - 512)",
    ),
    _T.text(
        "a new volume has a label",
        "file.truncate(volume.size * GIB)",
        'file.write(b"LABEL"); file.truncate(volume.size * GIB)',
    ),
    _T.text(
        "a new volume has a label at its end",
        "file.truncate(volume.size * GIB)",
        'file.truncate(volume.size * GIB); file.seek(-8, 2); file.write(b"LABEL")',
    ),
    _T.before(
        "a repeated creation is an error",
        "create_volume",
        f"if {_MADE}.exists(): raise VolumeBackendAPIException('it exists')",
    ),
    _T.before(
        "a repeated creation keeps old data", "create_volume", f"if {_MADE}.exists(): return None"
    ),
    _T.after("a creation exports", "create_volume", "self.create_export(None, volume, None)"),
    _T.after(
        "a creation makes two volumes",
        "create_volume",
        f"({_MADE}.with_name(volume.name + '-twin')).touch()",
    ),
    _T.after(
        "a creation leaves a hidden file",
        "create_volume",
        f"{_MADE}.with_name('.' + volume.name).touch()",
    ),
    _T.after(
        "a creation leaves a temporary file", "create_volume", "import tempfile; tempfile.mkstemp()"
    ),
    _T.after(
        "a creation leaves a process",
        "create_volume",
        "import subprocess; self._p = subprocess.Popen(['sleep', '20'])",
    ),
    _T.after(
        "a creation leaves an open file",
        "create_volume",
        f"Leaked = globals().setdefault('LEAKED', []); Leaked.append({_MADE}.open('rb'))",
    ),
    _T.after(
        "a creation leaves a thread",
        "create_volume",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
    ),
    _T.before(
        "a creation removes another volume",
        "create_volume",
        "for path in self._files('volumes')[1:]: path.unlink()",
    ),
    _T.before(
        "a creation under an open device",
        "create_volume",
        "for ticket in self._tickets(volume.name): ticket.unlink()\n(self._root / 'exports' / volume.name).unlink(missing_ok=True)",
    ),
    _T.text(
        "volumes share one file",
        'return self._root / "volumes" / name\n',
        'return self._root / "volumes" / (name if len(name) < 30 else name[:9])\n',
    ),
    _T.text(
        "names are cut",
        'return self._root / "volumes" / name\n',
        'return self._root / "volumes" / name[:12]\n',
    ),
    _T.text(
        "identity by id on creation",
        "new.rename(self._volume(volume.name))",
        'new.rename(self._volume(f"volume-{volume.id}"))',
    ),
    _T.text(
        "identity by id on deletion",
        "self._volume(volume.name).unlink(missing_ok=True)",
        'self._volume(f"volume-{volume.id}").unlink(missing_ok=True)',
    ),
    _T.text(
        "identity by id on extension",
        "path = self._existing(volume.name)\n            if path",
        'path = self._existing(f"volume-{volume.id}")\n            if path',
    ),
    _T.text(
        "identity by id on cloning",
        "self._copy(self._existing(src_vref.name)",
        'self._copy(self._existing(f"volume-{src_vref.id}")',
    ),
    _T.text(
        "identity by id on connecting",
        "        path = self._existing(volume.name)\n        ticket",
        '        path = self._existing(f"volume-{volume.id}")\n        ticket',
    ),
    _T.text(
        "identity by id on a snapshot",
        "source, target = self._existing(snapshot.volume_name)",
        'source, target = self._existing(f"volume-{snapshot.volume_id}")',
    ),
    _T.text(
        "identity of a snapshot by the volume's id",
        'f"{snapshot.volume_name}@{snapshot.name}"',
        'f"volume-{snapshot.volume_id}@{snapshot.name}"',
    ),
    _T.text(
        "deletion does nothing",
        "            self._volume(volume.name).unlink(missing_ok=True)\n",
        "",
    ),
    _T.text(
        "deletion empties the file",
        "self._volume(volume.name).unlink(missing_ok=True)\n",
        "self._volume(volume.name).exists() and os.truncate(self._volume(volume.name), 0)\n",
    ),
    _T.text(
        "deletion of an absent volume is an error",
        "self._volume(volume.name).unlink(missing_ok=True)",
        "self._volume(volume.name).unlink()",
    ),
    _T.before(
        "deletion of an absent volume is refused", "delete_volume", "self._existing(volume.name)"
    ),
    _T.text("deletion with snapshots", "if self._snapshots_of(volume.name):", "if False:"),
    _T.before(
        "deletion takes the snapshots along",
        "delete_volume",
        "for path in self._snapshots_of(volume.name): path.unlink()",
    ),
    _T.text(
        "busy is another error",
        'raise VolumeIsBusy(f"volume {volume.id} has snapshots: delete them first")',
        'raise VolumeBackendAPIException(f"volume {volume.id} has snapshots")',
    ),
    _T.text(
        "busy after the deletion",
        "            if self._snapshots_of(volume.name):",
        "            self._snapshots_of(volume.name) and self._volume(volume.name).unlink(missing_ok=True)\n            if self._snapshots_of(volume.name):",
    ),
    _T.text(
        "busy, and the data is cleared",
        "            if self._snapshots_of(volume.name):",
        "            self._snapshots_of(volume.name) and os.truncate(self._volume(volume.name), 0)\n            if self._snapshots_of(volume.name):",
    ),
    _T.after(
        "deletion removes all volumes",
        "delete_volume",
        "for path in self._files('volumes'): path.unlink()",
    ),
    _T.after(
        "deletion by prefix",
        "delete_volume",
        "for path in (self._root / 'volumes').glob(volume.name[:8] + '*'): path.unlink()",
    ),
    _T.text(
        "deletion hides the file",
        "self._volume(volume.name).unlink(missing_ok=True)\n",
        "self._volume(volume.name).exists() and self._volume(volume.name).rename(self._root / 'volumes' / f'.trash-{volume.name}')\n",
    ),
    _T.text(
        "deleted data is used again",
        '            new.unlink(missing_ok=True)\n            with new.open("wb") as file:\n',
        "            old = self._root / 'volumes' / 'trash'\n            new.unlink(missing_ok=True)\n            if old.exists(): old.rename(new)\n            with new.open(\"ab\") as file:\n",
        "self._volume(volume.name).unlink(missing_ok=True)\n",
        "self._volume(volume.name).exists() and self._volume(volume.name).rename(self._root / 'volumes' / 'trash')\n",
    ),
    _T.before(
        "deletion of an attached volume",
        "delete_volume",
        "for ticket in self._tickets(volume.name): ticket.unlink()\n(self._root / 'exports' / volume.name).unlink(missing_ok=True)",
    ),
    _T.text(
        "deletion of an exported volume",
        "if exported or any(self._tickets(volume.name)):",
        "if False:",
    ),
    _T.text(
        "only exports make busy, and they end first",
        "if exported or any(self._tickets(volume.name)):",
        "if exported and not any(self._tickets(volume.name)):",
    ),
    _T.text(
        "deletion waits for its locks only",
        "self._lock_file(volume.name).unlink(missing_ok=True)",
        "(self._root / 'volumes' / f'deleted-{volume.name}').touch()",
    ),
    _T.text(
        "extension in GB",
        "os.truncate(path, new_size * GIB)",
        "os.truncate(path, new_size * 10**9)",
    ),
    _T.text(
        "extension by the size",
        "os.truncate(path, new_size * GIB)",
        "os.truncate(path, (volume.size + new_size) * GIB)",
    ),
    _T.text("extension shrinks", "if path.stat().st_size < new_size * GIB:", "if True:"),
    _T.text("extension does nothing", "os.truncate(path, new_size * GIB)", "pass"),
    _T.before(
        "extension again is an error",
        "extend_volume",
        f"if {_MADE}.exists() and {_MADE}.stat().st_size >= new_size * GIB: raise VolumeBackendAPIException('no growth')",
    ),
    _T.text(
        "extension loses the data",
        "os.truncate(path, new_size * GIB)",
        "os.truncate(path, 0); os.truncate(path, new_size * GIB)",
    ),
    _T.text(
        "extension loses the tail",
        "os.truncate(path, new_size * GIB)",
        "os.truncate(path, volume.size * GIB - 4096); os.truncate(path, new_size * GIB)",
    ),
    _T.text(
        "added space has old data",
        "os.truncate(path, new_size * GIB)",
        "os.truncate(path, new_size * GIB)\n                with path.open('r+b') as file:\n                    file.seek(volume.size * GIB)\n                    file.write(b'old data')",
    ),
    _T.text(
        "extension of an absent volume makes one",
        "path = self._existing(volume.name)\n            if path",
        "path = self._volume(volume.name); path.touch()\n            if path",
    ),
    _T.before(
        "extension of an absent volume is ignored",
        "extend_volume",
        f"if not {_MADE}.exists(): return None",
    ),
    _T.before(
        "extension of a volume in use fails", "extend_volume", "self._require_unused(volume)"
    ),
    _T.before(
        "extension ends the connections", "extend_volume", "self.terminate_connection(volume, None)"
    ),
    _T.before(
        "an absent source is an empty clone",
        "create_cloned_volume",
        "if not self._volume(src_vref.name).exists(): return self.create_volume(volume)",
    ),
    _T.text(
        "a clone of another error class",
        'raise VolumeBackendAPIException(f"{name} is not in {self._root}")',
        "raise FileNotFoundError(name)",
    ),
    _T.text(
        "a clone is a link",
        "self._copy(self._existing(src_vref.name), self._volume(volume.name), volume.size * GIB)",
        "source = self._existing(src_vref.name); self._volume(volume.name).unlink(missing_ok=True); os.link(source, self._volume(volume.name)); os.truncate(source, max(source.stat().st_size, volume.size * GIB))",
    ),
    _T.text(
        "a clone is a symbolic link",
        "self._copy(self._existing(src_vref.name), self._volume(volume.name), volume.size * GIB)",
        "source = self._existing(src_vref.name); self._volume(volume.name).unlink(missing_ok=True); os.symlink(source, self._volume(volume.name))",
    ),
    _T.text(
        "a clone has the size of its source",
        "self._copy(self._existing(src_vref.name), self._volume(volume.name), volume.size * GIB)",
        "source = self._existing(src_vref.name); self._copy(source, self._volume(volume.name), source.stat().st_size)",
    ),
    _T.text(
        "a clone has no data",
        "self._copy(self._existing(src_vref.name), self._volume(volume.name), volume.size * GIB)",
        "self._existing(src_vref.name); self.create_volume(volume)",
    ),
    _T.text(
        "a clone moves its source",
        "self._copy(self._existing(src_vref.name), self._volume(volume.name), volume.size * GIB)",
        "source = self._existing(src_vref.name); source.rename(self._volume(volume.name)); os.truncate(self._volume(volume.name), volume.size * GIB)",
    ),
    _T.before(
        "a clone again is an error",
        "create_cloned_volume",
        f"if {_MADE}.exists(): raise VolumeBackendAPIException('it exists')",
    ),
    _T.before(
        "a clone again keeps old data", "create_cloned_volume", f"if {_MADE}.exists(): return None"
    ),
    _T.after(
        "a clone leaves a snapshot",
        "create_cloned_volume",
        "(self._root / 'snapshots' / f'{src_vref.name}@clone-{volume.name}').touch()",
    ),
    _T.after(
        "a clone truncates its source",
        "create_cloned_volume",
        "os.truncate(self._volume(src_vref.name), GIB // 2)",
    ),
    _T.text(
        "a copy has one block only",
        "                while begin < end:\n",
        "                if begin < end:\n",
    ),
    _T.text(
        "a copy has its first part only",
        "for begin, end in _data(old.fileno()):",
        "for begin, end in list(_data(old.fileno()))[:1]:",
    ),
    _T.text(
        "a copy begins at the first data",
        "                file.seek(begin)\n                while",
        "                file.seek(0)\n                while",
    ),
    _T.text(
        "a copy writes onto the old one",
        'new.open("wb") as file:\n            for',
        '(new.open("r+b") if new.exists() else new.open("wb")) as file:\n            for',
        "new = self._new(target.name)\n        with source",
        "new = target\n        with source",
        "            file.flush()\n        new.rename(target)",
        "            file.flush()",
    ),
    _T.text(
        "a copy is not lengthened",
        "            file.truncate(size)\n            file.flush()",
        "            file.flush()",
    ),
    _T.text(
        "a copy of random data behind",
        "            file.truncate(size)\n            file.flush()",
        "            file.truncate(size); file.seek(max(0, size - 100)); file.write(b'x') if size > source.stat().st_size else None\n            file.flush()",
    ),
    _T.after(
        "a location that is too long", "create_volume", "answer = {'provider_location': 'x' * 256}"
    ),
    _T.after("a location with NUL", "create_volume", "answer = {'provider_id': 'a\\0b'}"),
    _T.before("a name in ASCII only", "create_volume", "volume.display_name.encode('ascii')"),
    _T.before(
        "a name in a command of the shell",
        "create_volume",
        "import subprocess; subprocess.run(f'true {volume.display_name}', shell=True, check=True)",
    ),
    _T.before(
        "volumes of other projects are refused",
        "initialize_connection",
        "if volume.project_id != 'project': raise VolumeBackendAPIException('not there')",
    ),
    _T.before(
        "metadata of the row is changed", "create_volume", "volume.metadata['vault'] = 'yes'"
    ),
    _T.before(
        "a name in a quoted command of the shell",
        "create_volume",
        "import subprocess"
        "; subprocess.run(f\"true '{volume.display_name}'\", shell=True, check=True)",
    ),
    _T.text(
        "sizes of 34 bits in a creation",
        "file.truncate(volume.size * GIB)",
        "file.truncate(volume.size * GIB % 2**34 or 2**34)",
    ),
    _T.before(
        "sizes of 41 bits in an extension",
        "extend_volume",
        "new_size = new_size * GIB % 2**41 // GIB or new_size",
    ),
)
