# SPDX-License-Identifier: Apache-2.0
"""A small backup driver that keeps the whole contract: one directory for each backup."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from pathlib import Path

from oslo_config import cfg

from drivers.interface.backup import BackupDriver
from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.pace import Pace

LOG = logging.getLogger(__name__)
BLOCK = 65536
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ShelfDriver(BackupDriver):
    OPTS = [
        cfg.StrOpt("shelf_path", default="$state_path/shelf", help="Directory of all backups."),
        cfg.StrOpt("shelf_password", default="", secret=True, help="Password of the shelf."),
    ]
    support_force_delete = True

    def check_for_setup_error(self):
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BackupDriverException(f"shelf_path = {self._root}: {error.strerror}") from error

    def files_directory(self):
        return str(self._root)

    def place(self, backup):
        if backup.container not in (None, "shelf"):
            raise BackupDriverException(f"backup {backup.id}: the only container is shelf")
        return {"container": "shelf"}

    def backup(self, backup, volume_file, backup_metadata=False, *, pace=Pace()):  # noqa: B008
        parent = self._parent(backup)
        known = self._hashes(parent) if parent else {}
        new = self._new(backup.id)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        hashes, size = {}, volume_file.seek(0, os.SEEK_END)
        volume_file.seek(0)
        with (new / "data").open("wb") as data:
            for number in range(-(-size // BLOCK)):
                block = volume_file.read(BLOCK)
                digest = hashlib.sha256(block).hexdigest()
                if known.get(str(number)) != digest:
                    hashes[str(number)] = digest
                    data.write(block)
                pace.progress(min(1.0, (number + 1) * BLOCK / size))
        facts = {"size": size, "parent": parent and parent.id, "hashes": hashes}
        if backup_metadata:
            facts["metadata"] = self.get_metadata(backup.volume_id)
        (new / "facts").write_text(json.dumps(facts))
        shutil.rmtree(self._folder(backup.id), ignore_errors=True)
        new.rename(self._folder(backup.id))
        return {"object_count": 2, "parent_id": parent and parent.id}

    def restore(self, backup, volume_id, volume_file, volume_is_new=False, *, pace=Pace()):  # noqa: B008
        facts = self._facts(backup)
        size = volume_file.seek(0, os.SEEK_END)
        if size < facts["size"]:
            raise BackupDriverException(f"backup {backup.id} has {facts['size']} bytes, not {size}")
        chain = self._chain(backup)
        for number, (record, step) in enumerate(chain):
            self._write(record, step, volume_file, step["size"])
            pace.progress((number + 1) / len(chain))
        volume_file.flush()
        if "metadata" in facts:
            self.put_metadata(volume_id, facts["metadata"])

    def verify(self, backup, *, pace=Pace()):  # noqa: B008
        for record, facts in self._chain(backup):
            for _ in self._blocks(record, facts):
                pass

    def delete_backup(self, backup):
        shutil.rmtree(self._new(backup.id), ignore_errors=True)
        folder = self._folder(backup.id)
        if folder.exists():
            gone = folder.with_name(f".new-{backup.id}")
            folder.rename(gone)
            shutil.rmtree(gone)

    def export_record(self, backup):
        return {"shelf": 1, "id": backup.id}

    def import_record(self, backup, driver_info):
        if not isinstance(driver_info, dict) or driver_info.get("shelf") != 1:
            raise BackupDriverException(f"backup {backup.id} was not exported by this driver")
        if driver_info.get("id") != backup.id or backup.container not in (None, "shelf"):
            raise BackupDriverException(f"backup {backup.id} is not on this shelf")
        self._folder(backup.id)

    @property
    def _root(self):
        return Path(self.configuration.shelf_path)

    def _folder(self, backup_id):
        if not ID.fullmatch(backup_id):
            raise BackupDriverException(f"{backup_id!r:.80} is no id of a backup")
        return self._root / backup_id

    def _new(self, backup_id):
        return self._root / f".new-{self._folder(backup_id).name}"

    def _parent(self, backup):
        parent = backup.parent if backup.parent_id else None
        return parent if parent and parent.size == backup.size else None

    def _facts(self, backup):
        try:
            return json.loads((self._folder(backup.id) / "facts").read_text())
        except (OSError, ValueError) as error:
            raise BackupDamaged(f"backup {backup.id} is not on the shelf") from error

    def _chain(self, backup):
        """Return the backups that it builds on, the oldest first, each with its facts."""
        facts = self._facts(backup)
        if not facts["parent"]:
            return [(backup, facts)]
        if backup.parent is None:
            raise BackupDamaged(f"the parent of backup {backup.id} is absent")
        return [*self._chain(backup.parent), (backup, facts)]

    def _hashes(self, backup):
        found = {}
        for _, facts in self._chain(backup):
            found.update(facts["hashes"])
        return found

    def _blocks(self, backup, facts):
        try:
            with (self._folder(backup.id) / "data").open("rb") as data:
                for number, digest in facts["hashes"].items():
                    block = data.read(min(BLOCK, facts["size"] - int(number) * BLOCK))
                    if hashlib.sha256(block).hexdigest() != digest:
                        raise BackupDamaged(f"block {number} of backup {backup.id} is damaged")
                    yield int(number), block
        except OSError as error:
            raise BackupDamaged(f"the data of backup {backup.id} is absent") from error

    def _write(self, backup, facts, volume_file, size):
        for number, block in self._blocks(backup, facts):
            volume_file.seek(number * BLOCK)
            volume_file.write(block)
