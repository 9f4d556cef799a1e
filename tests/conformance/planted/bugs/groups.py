# SPDX-License-Identifier: Apache-2.0
"""Consistency groups, and answers with statuses."""

from __future__ import annotations

from ..bug import Table

_T = Table("vault", "test_groups")

BUGS = (
    _T.after("a group that is in error", "create_consistencygroup", "answer = {'status': 'error'}"),
    _T.after(
        "a group of an unknown status", "create_consistencygroup", "answer = {'status': 'ready'}"
    ),
    _T.after("a group of an unknown column", "create_consistencygroup", "answer = {'lun': 1}"),
    _T.after("a group that is its record", "create_consistencygroup", "answer = group"),
    _T.after("a group that is True", "create_consistencygroup", "answer = True"),
    _T.before(
        "a group can be made once",
        "create_consistencygroup",
        "(self._root / 'locks' / f'group-{group.id}').touch(exist_ok=False)",
    ),
    _T.after("group updates without lists", "create_cgsnapshot", "answer = answer[0]"),
    _T.after("group updates with three values", "create_cgsnapshot", "answer = (*answer, None)"),
    _T.after("records as updates", "create_cgsnapshot", "answer = (None, snapshots)"),
    _T.after(
        "entries without ids",
        "create_cgsnapshot",
        "answer = (None, [{'status': 'available'} for _ in snapshots])",
    ),
    _T.after(
        "entries of other ids",
        "create_cgsnapshot",
        "answer = (None, [{'id': 'x', 'status': 'available'}])",
    ),
    _T.after(
        "entries of unknown statuses",
        "create_cgsnapshot",
        "answer = (None, [{'id': s.id, 'status': 'ok'} for s in snapshots])",
    ),
    _T.after(
        "entries of unknown columns",
        "create_cgsnapshot",
        "answer = (None, [{'id': s.id, 'lun': 1} for s in snapshots])",
    ),
    _T.after(
        "entries in error",
        "create_cgsnapshot",
        "answer = (None, [{'id': s.id, 'status': 'error'} for s in snapshots])",
    ),
    _T.after(
        "entries as a dict",
        "create_cgsnapshot",
        "answer = (None, {s.id: 'available' for s in snapshots})",
    ),
    _T.text(
        "a group snapshot of the first member",
        "                for snapshot in new:\n                    source =",
        "                for snapshot in new[:1]:\n                    source =",
    ),
    _T.text(
        "a group snapshot of one volume",
        "source = self._existing(snapshot.volume_name)\n                    self._copy(source, self._snapshot(snapshot)",
        "source = self._existing(snapshots[0].volume_name)\n                    self._copy(source, self._snapshot(snapshot)",
    ),
    _T.text(
        "a group snapshot keeps members of a killed call",
        "new = [] if is_done else snapshots",
        "new = [one for one in snapshots if not self._snapshot(one).exists()]",
    ),
    _T.text(
        "a failed group snapshot leaves some",
        "                for snapshot in new:\n                    self.delete_snapshot(snapshot)\n                raise",
        "                raise",
    ),
    _T.text(
        "a failed group snapshot is a success",
        "                for snapshot in new:\n                    self.delete_snapshot(snapshot)\n                raise",
        "                pass",
    ),
    _T.text(
        "a failed group snapshot is said in None",
        "                for snapshot in new:\n                    self.delete_snapshot(snapshot)\n                raise",
        "                for snapshot in new:\n                    self.delete_snapshot(snapshot)\n                return None, None",
    ),
    _T.text(
        "deletion of a group snapshot leaves the last",
        "        for snapshot in snapshots:\n            self.delete_snapshot(snapshot)\n        return",
        "        for snapshot in snapshots[:-1]:\n            self.delete_snapshot(snapshot)\n        return",
    ),
    _T.text(
        "deletion of a group snapshot removes all",
        "        for snapshot in snapshots:\n            self.delete_snapshot(snapshot)\n        return",
        "        for snapshot in snapshots:\n            for path in self._snapshots_of(snapshot.volume_name): path.unlink()\n        return",
    ),
    _T.after(
        "deletion of a group snapshot deletes volumes",
        "delete_cgsnapshot",
        "for s in snapshots: self._volume(s.volume_name).unlink(missing_ok=True)",
    ),
    _T.before(
        "deletion of absent group snapshots is an error",
        "delete_cgsnapshot",
        "for s in snapshots: self._existing_snapshot(s)",
    ),
    _T.after(
        "deletion of a group snapshot says available",
        "delete_cgsnapshot",
        "answer = ({'status': 'error_deleting'}, answer[1])",
    ),
    _T.after(
        "deletion of a group snapshot of unknown statuses",
        "delete_cgsnapshot",
        "answer = ({'status': 'gone'}, answer[1])",
    ),
    _T.text(
        "a group of a group has one member",
        "                made.append(volume)\n",
        "                if made: continue\n                made.append(volume)\n",
    ),
    _T.text(
        "a group of a group mixes members",
        "zip(volumes, snapshots or source_vols, strict=True)",
        "zip(volumes, reversed(snapshots or source_vols), strict=True)",
    ),
    _T.text(
        "a failed group leaves volumes",
        "            for volume in made:\n                self.delete_volume(volume)\n            raise",
        "            raise",
    ),
    _T.text(
        "a failed group is an entry",
        "            for volume in made:\n                self.delete_volume(volume)\n            raise",
        "            for volume in made:\n                self.delete_volume(volume)\n            return {'status': 'error'}, [{'id': v.id, 'status': 'error'} for v in volumes]",
    ),
    _T.after(
        "a group of a group deletes the source",
        "create_consistencygroup_from_src",
        "for v in source_vols or (): self._volume(v.name).unlink()",
    ),
    _T.after(
        "a group of a group answers one dict", "create_consistencygroup_from_src", "answer = {}"
    ),
    _T.text(
        "deletion of a group leaves the last",
        "        for volume in volumes:\n            try:",
        "        for volume in volumes[:-1]:\n            try:",
    ),
    _T.text(
        "deletion of a group hides a failure",
        '                entries.append({"id": volume.id, "status": "error_deleting"})',
        '                entries.append({"id": volume.id, "status": "deleted"})',
    ),
    _T.text(
        "deletion of a group forces",
        "                self.delete_volume(volume)\n                entries",
        "                self._volume(volume.name).unlink(missing_ok=True)\n                entries",
    ),
    _T.text(
        "deletion of a group says available",
        '"error_deleting" if failed else "deleted"',
        '"error_deleting" if failed else "error"',
    ),
    _T.text(
        "deletion of a group of unknown statuses",
        '"error_deleting" if failed else "deleted"',
        '"error_deleting" if failed else "removed"',
    ),
    _T.after(
        "deletion of a group deletes others",
        "delete_consistencygroup",
        "for path in self._files('volumes'): path.unlink()",
    ),
    _T.before(
        "deletion of absent volumes is an error",
        "delete_consistencygroup",
        "for v in volumes: self._existing(v.name)",
    ),
    _T.before("deletion of an empty group is an error", "delete_consistencygroup", "volumes[0]"),
    _T.after("deletion answers text", "delete_consistencygroup", "answer = 'done'"),
    _T.after("update answers two values", "update_consistencygroup", "answer = (None, None)"),
    _T.after(
        "update puts the group into error",
        "update_consistencygroup",
        "answer = ({'status': 'error'}, None, None)",
    ),
    _T.after(
        "update returns the volumes",
        "update_consistencygroup",
        "answer = (None, add_volumes, None)",
    ),
    _T.after(
        "update returns entries in the wrong list",
        "update_consistencygroup",
        "answer = (None, [{'id': v.id} for v in remove_volumes or ()], None)",
    ),
    _T.before(
        "update needs both lists",
        "update_consistencygroup",
        "len(add_volumes), len(remove_volumes)",
    ),
    _T.after(
        "members that leave are deleted",
        "update_consistencygroup",
        "for v in remove_volumes or (): self._volume(v.name).unlink()",
    ),
    _T.after(
        "members that join are cleared",
        "update_consistencygroup",
        "for v in add_volumes or (): s = self._volume(v.name).stat().st_size; os.truncate(self._volume(v.name), 0); os.truncate(self._volume(v.name), s)",
    ),
)
