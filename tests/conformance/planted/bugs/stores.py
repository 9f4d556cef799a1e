# SPDX-License-Identifier: Apache-2.0
"""Backup drivers."""

from __future__ import annotations

from ..bug import Table

_T = Table("shelf", "stores/test_contract")
_B = Table("shelf", "stores/test_backups")
_C = Table("shelf", "stores/test_calls")

BUGS = (
    _B.text(
        "a backup of the first block",
        "for number in range(-(-size // BLOCK)):",
        "for number in range(1):",
    ),
    _T.text(
        "a backup without the odd end",
        "for number in range(-(-size // BLOCK)):",
        "for number in range(size // BLOCK):",
    ),
    _B.text(
        "a backup that begins in the middle",
        "        volume_file.seek(0)\n        with",
        "        volume_file.seek(BLOCK)\n        with",
    ),
    _B.text(
        "an incremental one keeps all it knows not",
        "if known.get(str(number)) != digest:",
        "if str(number) not in known:",
    ),
    _B.text(
        "a parent of another size is built on",
        "return parent if parent and parent.size == backup.size else None",
        "return parent",
    ),
    _B.text(
        "the parent of a full one stays in the row",
        'return {"object_count": 2, "parent_id": parent and parent.id}',
        'return {"object_count": 2}',
    ),
    _T.text(
        "zeros are no data",
        "            volume_file.write(block)\n",
        "            if any(block): volume_file.write(block)\n",
    ),
    _B.text(
        "a restore without the parents",
        "        return [*self._chain(backup.parent), (backup, facts)]",
        "        return [(backup, facts)]",
    ),
    _B.text(
        "a restore of the parents last",
        "        return [*self._chain(backup.parent), (backup, facts)]",
        "        return [(backup, facts), *self._chain(backup.parent)]",
    ),
    _B.text(
        "a restore of the newest backup",
        "        facts = self._facts(backup)\n        size",
        "        facts = self._facts(backup)\n        newest = max((p for p in self._root.iterdir() if not p.name.startswith('.')), key=lambda p: p.stat().st_mtime_ns)\n        backup = backup.replace(id=newest.name, parent_id=None); facts = self._facts(backup)\n        size",
    ),
    _B.text(
        "a restore into a volume that is too small",
        '        if size < facts["size"]:\n',
        "        if False:\n",
    ),
    _T.text(
        "a restore cuts the volume",
        "        volume_file.flush()\n",
        '        volume_file.truncate(facts["size"]); volume_file.flush()\n',
    ),
    _B.text(
        "a restore is not written", "            volume_file.write(block)\n", "            pass\n"
    ),
    _T.text(
        "damage is not noticed", "if hashlib.sha256(block).hexdigest() != digest:", "if False:"
    ),
    _T.text(
        "lost data is not noticed",
        '            raise BackupDamaged(f"the data of backup {backup.id} is absent") from error',
        "            return",
    ),
    _T.text(
        "a lost parent is not noticed",
        '            raise BackupDamaged(f"backup {backup.id} is not on the shelf") from error',
        '            return {"size": 0, "parent": None, "hashes": {}}',
    ),
    _T.text(
        "damage is another error",
        'raise BackupDamaged(f"the data of backup {backup.id} is absent") from error',
        "raise",
    ),
    _B.before("verify does nothing", "verify", "return None"),
    _B.after(
        "delete does nothing", "check_for_setup_error", "self.delete_backup = lambda backup: None"
    ),
    _B.text(
        "delete of an absent one is an error", "        if folder.exists():\n", "        if True:\n"
    ),
    _B.after(
        "delete removes all", "delete_backup", "for p in self._root.iterdir(): shutil.rmtree(p)"
    ),
    _T.text(
        "delete leaves the data",
        "            folder.rename(gone)\n            shutil.rmtree(gone)",
        "            (folder / 'facts').unlink()",
    ),
    _T.text(
        "delete hides it",
        "            shutil.rmtree(gone)\n",
        "            gone.rename(gone.with_name('.gone-' + gone.name))\n",
    ),
    _C.text(
        "delete leaves interrupted work",
        "        shutil.rmtree(self._new(backup.id), ignore_errors=True)\n        folder",
        "        folder",
    ),
    _C.text(
        "a backup under its final name, kept",
        "        new = self._new(backup.id)\n        shutil.rmtree(new, ignore_errors=True)\n        new.mkdir()",
        "        new = self._folder(backup.id)\n        if new.exists(): return None\n        new.mkdir()",
        "        shutil.rmtree(self._folder(backup.id), ignore_errors=True)\n        new.rename(self._folder(backup.id))\n",
        "",
    ),
    _C.text(
        "one work directory for all",
        'return self._root / f".new-{self._folder(backup_id).name}"',
        'return self._root / ".new"',
    ),
    _C.text(
        "a work directory that must not be there",
        "        shutil.rmtree(new, ignore_errors=True)\n        new.mkdir()",
        "        new.mkdir()",
    ),
    _C.text(
        "a random work directory",
        'return self._root / f".new-{self._folder(backup_id).name}"',
        'return self._root / f".new-{os.urandom(4).hex()}"',
        "        new = self._new(backup.id)\n        shutil",
        "        new = self._new(backup.id)\n        self._once = new\n        shutil",
    ),
    _C.text(
        "the hashes are kept in the driver",
        "        hashes, size = {}, volume_file",
        "        self._h = hashes = {}; size = volume_file",
        "                    hashes[str(number)] = digest\n",
        "                    self._h[str(number)] = digest\n",
    ),
    _C.text(
        "the backup at work is kept in the driver",
        "        new.rename(self._folder(backup.id))",
        "        new.rename(self._folder(self._now.id))",
        "        new = self._new(backup.id)\n        shutil",
        "        self._now = backup\n        new = self._new(backup.id)\n        shutil",
    ),
    _T.after(
        "a backup leaves a work file",
        "backup",
        "work = Path(self.configuration.backup_work_path); work.mkdir(exist_ok=True); (work / f'hashes-{backup.id}').touch()",
    ),
    _T.after(
        "a restore leaves a work file",
        "restore",
        "work = Path(self.configuration.backup_work_path); work.mkdir(exist_ok=True); (work / f'restore-{backup.id}').touch()",
    ),
    _T.after("a backup leaves a temporary file", "backup", "import tempfile; tempfile.mkstemp()"),
    _T.after(
        "a restore leaves an open file",
        "restore",
        "self.__class__.LEAK = [*getattr(self, 'LEAK', ()), (self._folder(backup.id) / 'data').open('rb')]",
    ),
    _T.after(
        "a backup leaves a lock of its own", "backup", "(self._root / f'lock-{backup.id}').touch()"
    ),
    _T.text(
        "a work file of a failed backup",
        'return self._root / f".new-{self._folder(backup_id).name}"',
        'return self._root / f".new-{self._folder(backup_id).name}" if getattr(self, "_first", None) != backup_id else self._root / f".again-{backup_id}"',
        "        new = self._new(backup.id)\n        shutil",
        "        new = self._new(backup.id)\n        self._first = backup.id\n        shutil",
    ),
    _T.text(
        "any import is accepted",
        '        if not isinstance(driver_info, dict) or driver_info.get("shelf") != 1:\n',
        "        if False:\n",
        '        if driver_info.get("id") != backup.id or backup.container not in (None, "shelf"):\n',
        "        if False:\n",
    ),
    _T.text(
        "an import of another container",
        ' or backup.container not in (None, "shelf"):\n            raise BackupDriverException(f"backup {backup.id} is not',
        ':\n            raise BackupDriverException(f"backup {backup.id} is not',
    ),
    _T.before("an import with a KeyError", "import_record", "driver_info['shelf']"),
    _T.after(
        "an import that removes the backup",
        "import_record",
        "shutil.rmtree(self._folder(backup.id))",
    ),
    _T.before(
        "an import that removes others",
        "import_record",
        "for p in self._root.iterdir(): shutil.rmtree(p)",
    ),
    _T.after("an import answers", "import_record", "answer = True"),
    _T.text(
        "ids are paths",
        "        if not ID.fullmatch(backup_id):",
        "        if False:",
        ' or backup.container not in (None, "shelf"):\n            raise BackupDriverException(f"backup {backup.id} is not',
        ':\n            raise BackupDriverException(f"backup {backup.id} is not',
    ),
    _T.after("an export that is not JSON", "export_record", "answer = {'path': self._root}"),
    _T.after("an export that is text", "export_record", "answer = 'shelf'"),
    _T.after("an export that is None", "export_record", "answer = None"),
    _T.after("a backup returns a status", "backup", "answer = {'status': 'available'}"),
    _T.after("a backup returns an unknown column", "backup", "answer = {'shelf': 1}"),
    _T.after("a backup returns text for a number", "backup", "answer = {'object_count': '2'}"),
    _T.after("a backup returns another id", "backup", "answer = {'id': 'x'}"),
    _T.after("a backup returns True", "backup", "answer = True"),
    _T.after("a place of an unknown column", "place", "answer = {'path': 'x'}"),
    _B.text(
        "a place that is anything",
        '        if backup.container not in (None, "shelf"):\n            raise BackupDriverException(f"backup {backup.id}: the only',
        '        if False:\n            raise BackupDriverException(f"backup {backup.id}: the only',
    ),
    _B.after(
        "a place that differs",
        "place",
        "answer = {'container': 'shelf', 'service_metadata': os.urandom(4).hex()}",
    ),
    _T.after("a restore answers", "restore", "answer = {'size': 1}"),
    _T.after("a delete answers", "delete_backup", "answer = True"),
    _T.text("metadata is always kept", "        if backup_metadata:\n", "        if True:\n"),
    _B.text("metadata is never kept", "        if backup_metadata:\n", "        if False:\n"),
    _T.text(
        "metadata goes to the volume of old",
        "self.put_metadata(volume_id,",
        "self.put_metadata(backup.volume_id,",
    ),
    _T.after("metadata that is a dict", "get_metadata", "answer = {'version': 2}"),
    _T.text(
        "progress in percent",
        "pace.progress(min(1.0, (number + 1) * BLOCK / size))",
        "pace.progress(100 * (number + 1) * BLOCK / size)",
    ),
    _T.text(
        "progress that falls",
        "pace.progress(min(1.0, (number + 1) * BLOCK / size))",
        "pace.progress(1 - number * BLOCK / size)",
    ),
    _T.text(
        "no progress of a backup",
        "                pace.progress(min(1.0, (number + 1) * BLOCK / size))\n",
        "",
    ),
    _T.text(
        "no progress of a restore", "            pace.progress((number + 1) / len(chain))\n", ""
    ),
    _B.text(
        "the end of a backup is swallowed",
        "                pace.progress(min(1.0, (number + 1) * BLOCK / size))\n",
        "                try:\n                    pace.progress(min(1.0, (number + 1) * BLOCK / size))\n                except Exception:\n                    break\n",
    ),
    _T.before(
        "the password in a log line",
        "backup",
        "LOG.info('shelf with %s', self.configuration.shelf_password)",
    ),
    _B.text("force is text", "support_force_delete = True", 'support_force_delete = "yes"'),
    _B.text(
        "the set-up works once",
        "self._root.mkdir(parents=True, exist_ok=True)",
        "self._root.mkdir(parents=True)",
    ),
    _T.before(
        "a backup writes to the volume", "backup", "open(volume_file.name, 'r+b').write(b'seen')"
    ),
    _B.text(
        "identity by the volume",
        "return self._root / backup_id\n",
        "return self._root / backup_id[:1]\n",
    ),
)
