# SPDX-License-Identifier: Apache-2.0
"""Management of existing objects, types, migration, and rows."""

from __future__ import annotations

from ..bug import Table

_T = Table("vault", "test_manage")
_O = Table("vault", "test_optional")
_I = Table("vault", "test_image_copies")
_ROUND = "return max(1, -(-path.stat().st_size // GIB))"

BUGS = (
    _T.text("sizes rounded down", _ROUND, "return max(1, path.stat().st_size // GIB)"),
    _T.text(
        "sizes rounded to the nearest", _ROUND, "return max(1, round(path.stat().st_size / GIB))"
    ),
    _T.text("sizes always one more", _ROUND, "return path.stat().st_size // GIB + 1"),
    _T.text(
        "sizes of nothing",
        _ROUND,
        "return -(-path.stat().st_size // GIB) if path.stat().st_size > 1 else 0",
    ),
    _T.text("sizes as fractions", _ROUND, "return path.stat().st_size / GIB"),
    _T.text("sizes as text", _ROUND, "return str(max(1, -(-path.stat().st_size // GIB)))"),
    _T.text("sizes in bytes", _ROUND, "return path.stat().st_size"),
    _T.after("the size of the row", "manage_existing_get_size", "answer = volume.size or 1"),
    _T.after(
        "asking for the size renames",
        "manage_existing_get_size",
        "self._referenced('volumes', existing_ref, volume.name).rename(self._volume(volume.name))",
    ),
    _T.after(
        "asking for the size enlarges",
        "manage_existing_get_size",
        "p = self._referenced('volumes', existing_ref, volume.name); os.truncate(p, p.stat().st_size + 1)",
    ),
    _T.text(
        "a reference to nothing is an error of the backend",
        'raise ManageExistingInvalidReference(f"{name} is not in {folder} of {self._root}")',
        'raise VolumeBackendAPIException(f"{name} is not there")',
    ),
    _T.text(
        "a senseless reference is a KeyError",
        'name = ref.get("source-name")\n        if not isinstance(name, str) or',
        'name = ref["source-name"]\n        if',
    ),
    _T.text(
        "a reference may lead out",
        ' or "/" in name or name.startswith(".")',
        "",
        "if not found.is_file():\n            raise Manage",
        "if not found.exists():\n            raise Manage",
    ),
    _T.text(
        "an empty reference is any object",
        "or not name or",
        "or",
        "if not found.is_file():\n            found",
        "if not found.exists():\n            found",
        "if not found.is_file():\n            raise Manage",
        "if not found.exists():\n            raise Manage",
    ),
    _T.text(
        "a reference to nothing makes an object",
        'raise ManageExistingInvalidReference(f"{name} is not in {folder} of {self._root}")',
        "found.touch()",
    ),
    _T.text(
        "manage takes the first object",
        "        found = self._root / folder / name\n",
        "        found = next(iter(self._files(folder)), self._root / folder / name)\n",
    ),
    _T.text(
        "manage copies",
        "path.rename(self._volume(volume.name))",
        "self._copy(path, self._volume(volume.name), path.stat().st_size)",
    ),
    _T.text(
        "manage links",
        "path.rename(self._volume(volume.name))",
        "path != self._volume(volume.name) and os.link(path, self._volume(volume.name))",
    ),
    _T.text(
        "manage makes an empty volume",
        "path.rename(self._volume(volume.name))",
        "path.unlink(); self._volume(volume.name).touch()",
    ),
    _T.text(
        "manage does nothing",
        "path.rename(self._volume(volume.name))\n        os.truncate(self._volume(volume.name), _gib(self._volume(volume.name)) * GIB)",
        "pass",
    ),
    _T.text(
        "manage again is an error",
        "            found = self._root / folder / target\n",
        "            pass\n",
    ),
    _T.text(
        "manage cuts the object",
        "_gib(self._volume(volume.name)) * GIB)",
        "self._volume(volume.name).stat().st_size // GIB * GIB)",
    ),
    _T.text(
        "manage takes another type silently but renames",
        "            raise ManageExistingVolumeTypeMismatch",
        "            path.rename(self._volume(volume.name))\n            self._volume(volume.name).unlink()\n            raise ManageExistingVolumeTypeMismatch",
    ),
    _T.text(
        "a type mismatch without a reason",
        'ManageExistingVolumeTypeMismatch(f"the type of {volume.id} wants {wanted}")',
        "ManageExistingVolumeTypeMismatch()",
    ),
    _T.text(
        "a type mismatch is another error",
        'raise ManageExistingVolumeTypeMismatch(f"the type of {volume.id} wants {wanted}")',
        "raise ValueError(wanted)",
    ),
    _T.after("unmanage deletes", "unmanage", "self._volume(volume.name).unlink(missing_ok=True)"),
    _T.after("unmanage clears the data", "unmanage", "os.truncate(self._volume(volume.name), 0)"),
    _T.after(
        "unmanage hides the object",
        "unmanage",
        "p = self._volume(volume.name)\np.exists() and p.rename(p.with_name('.' + p.name))",
    ),
    _T.before(
        "unmanage again is an error",
        "unmanage",
        "mark = self._root / 'locks' / f'gone-{volume.name}'\nif mark.exists(): raise VolumeBackendAPIException('gone')\nmark.touch()",
    ),
    _T.after("unmanage answers", "unmanage", "answer = {}"),
    _T.text(
        "unmanage_snapshot deletes",
        'path.rename(path.with_name(f"unmanaged-{path.name}"))',
        "path.unlink()",
    ),
    _T.text(
        "unmanage_snapshot keeps its volume",
        '        if path.exists():\n            path.rename(path.with_name(f"unmanaged-{path.name}"))',
        "        pass",
    ),
    _T.text(
        "unmanage_snapshot again is an error",
        "        if path.exists():\n            path.rename",
        "        if True:\n            path.rename",
    ),
    _T.text(
        "unmanage_snapshot clears the data",
        'path.rename(path.with_name(f"unmanaged-{path.name}"))',
        'path.rename(path.with_name(f"unmanaged-{path.name}")); os.truncate(path.with_name(f"unmanaged-{path.name}"), 0)',
    ),
    _T.text(
        "unmanage_snapshot lets all go",
        '            path.rename(path.with_name(f"unmanaged-{path.name}"))',
        '            for path in self._snapshots_of(snapshot.volume_name): path.rename(path.with_name(f"unmanaged-{path.name}"))',
    ),
    _T.after(
        "unmanage_snapshot deletes the volume",
        "unmanage_snapshot",
        "self._volume(snapshot.volume_name).unlink(missing_ok=True)",
    ),
    _T.after("a snapshot's size of the row", "manage_existing_snapshot_get_size", "answer = 1"),
    _T.after(
        "asking for a snapshot's size renames",
        "manage_existing_snapshot_get_size",
        "self._referenced('snapshots', existing_ref, self._snapshot(snapshot).name).rename(self._root / 'snapshots' / 'x')",
    ),
    _T.text(
        "manage_snapshot does nothing",
        '        self._referenced("snapshots", existing_ref, target.name).rename(target)\n',
        '        self._referenced("snapshots", existing_ref, target.name)\n',
    ),
    _T.text(
        "manage_snapshot takes the volume",
        '        self._referenced("snapshots", existing_ref, target.name).rename(target)\n',
        '        self._referenced("snapshots", existing_ref, target.name).unlink()\n        self._copy(self._existing(snapshot.volume_name), target, self._volume(snapshot.volume_name).stat().st_size)\n',
    ),
    _T.text(
        "manage_snapshot of nothing is of the volume",
        '        self._referenced("snapshots", existing_ref, target.name).rename(target)\n',
        '        try:\n            self._referenced("snapshots", existing_ref, target.name).rename(target)\n        except ManageExistingInvalidReference:\n            os.link(self._existing(snapshot.volume_name), target)\n',
    ),
    _T.after("a list that is a tuple", "get_manageable_volumes", "answer = tuple(answer)"),
    _T.after(
        "a list without references",
        "get_manageable_volumes",
        "answer = [{k: e[k] for k in e if k != 'reference'} for e in answer]",
    ),
    _T.after(
        "a list with sizes in bytes",
        "get_manageable_volumes",
        "answer = [{**e, 'size': e['size'] * GIB} for e in answer]",
    ),
    _T.after(
        "a list without reasons",
        "get_manageable_volumes",
        "answer = [{**e, 'reason_not_safe': None} for e in answer]",
    ),
    _T.after(
        "a list in which all is safe",
        "get_manageable_volumes",
        "answer = [{**e, 'safe_to_manage': True} for e in answer]",
    ),
    _T.after(
        "a list in which nothing is ours",
        "get_manageable_volumes",
        "answer = [{**e, 'cinder_id': None} for e in answer]",
    ),
    _T.after(
        "a list without unmanaged objects",
        "get_manageable_volumes",
        "answer = [e for e in answer if e['cinder_id']]",
    ),
    _T.after(
        "a list without managed objects",
        "get_manageable_volumes",
        "answer = [e for e in answer if not e['cinder_id']]",
    ),
    _T.text(
        "a list in pages without the marker",
        '        entries = [self._entry(path, owners.get(path.name)) for path in self._files("volumes")]\n        return page(entries, marker,',
        '        entries = [self._entry(path, owners.get(path.name)) for path in self._files("volumes")]\n        return page(entries, None,',
    ),
    _T.after("an empty list", "get_manageable_volumes", "answer = []"),
    _T.text(
        "a list that is not sorted",
        '        entries = [self._entry(path, owners.get(path.name)) for path in self._files("volumes")]\n        return page(entries, marker, limit, offset, sort_keys, sort_dirs)',
        "        entries = [self._entry(path, owners.get(path.name)) for path in self._files(\"volumes\")]\n        return sorted(page(entries, marker, limit, offset, sort_keys, sort_dirs), key=lambda e: e['reference']['source-name'])",
    ),
    _T.after("an empty list of snapshots", "get_manageable_snapshots", "answer = []"),
    _T.after(
        "snapshots without their volume",
        "get_manageable_snapshots",
        "answer = [{**e, 'source_reference': {'source-name': 'x'}} for e in answer]",
    ),
    _T.after(
        "managed snapshots that are safe",
        "get_manageable_snapshots",
        "answer = [{**e, 'safe_to_manage': True, 'cinder_id': None} for e in answer]",
    ),
    _O.after(
        "migrate says False after deleting",
        "migrate_volume",
        "if not answer[0]: self._volume(volume.name).unlink()",
    ),
    _O.after(
        "migrate says False after clearing",
        "migrate_volume",
        "if not answer[0]: os.truncate(self._volume(volume.name), 0)",
    ),
    _O.after("migrate says True for an unknown backend", "migrate_volume", "answer = (True, None)"),
    _O.after(
        "migrate to itself deletes",
        "migrate_volume",
        "if answer[0]: self._volume(volume.name).unlink(missing_ok=True)",
    ),
    _O.after("migrate answers False alone", "migrate_volume", "answer = answer[0]"),
    _O.after("migrate answers None", "migrate_volume", "answer = None"),
    _O.after("migrate answers a number", "migrate_volume", "answer = (0, None)"),
    _O.before(
        "migrate trusts the capabilities",
        "migrate_volume",
        "host['capabilities']['location_info'].split(':')",
    ),
    _O.after("retype answers None", "retype", "answer = None"),
    _O.after("retype answers a number", "retype", "answer = 1"),
    _O.after("retype answers text", "retype", "answer = ('done', None)"),
    _O.after("retype returns a status", "retype", "answer = (True, {'status': 'available'})"),
    _O.after(
        "retype clears the data",
        "retype",
        "os.truncate(self._volume(volume.name), 0); os.truncate(self._volume(volume.name), GIB)",
    ),
    _O.after(
        "retype that is refused clears the data",
        "retype",
        "if not answer[0]: os.truncate(self._volume(volume.name), 0); os.truncate(self._volume(volume.name), GIB)",
    ),
    _O.after(
        "retype leaves a copy",
        "retype",
        "(self._root / 'volumes' / f'retyped-{volume.id}').touch()",
    ),
    _O.after(
        "provider info of another row",
        "update_provider_info",
        "answer = ([{'id': 'x', 'provider_id': 'y'}], None)",
    ),
    _O.after(
        "provider info without ids",
        "update_provider_info",
        "answer = ([{'provider_id': 'y'}], None)",
    ),
    _O.after(
        "provider info with statuses",
        "update_provider_info",
        "answer = ([{**e, 'status': 'available'} for e in answer[0]], None)",
    ),
    _O.after(
        "provider info of unknown columns",
        "update_provider_info",
        "answer = ([{**e, 'lun': '1'} for e in answer[0]], None)",
    ),
    _O.before(
        "provider info needs the objects",
        "update_provider_info",
        "for one in volumes: self._existing(one.name)",
    ),
    _O.after(
        "provider info as one dict",
        "update_provider_info",
        "answer = (answer[0][0] if answer[0] else {}, None)",
    ),
    _O.after("a pool that is not reported", "get_pool", "answer = 'another'"),
    _O.after("a pool that is empty", "get_pool", "answer = ''"),
    _O.after("a transfer that deletes", "accept_transfer", "self._volume(volume.name).unlink()"),
    _O.after(
        "a transfer that writes the owner",
        "accept_transfer",
        "answer = {'user_id': new_user, 'project_id': new_project}",
    ),
    _I.text(
        "an image is not written",
        "                    file.write(chunk)\n            os.truncate(path, size)",
        "                    pass\n            os.truncate(path, size)",
    ),
    _I.text(
        "an image cuts the volume",
        '            os.truncate(path, size)\n        return {"metadata"',
        '        return {"metadata"',
    ),
    _I.text(
        "old data behind an image",
        "            os.truncate(path, 0)\n            with path.open",
        "            with path.open",
    ),
    _I.text(
        "an absent image is empty",
        "            image_service.show(context, image_id)\n",
        "            if image_id not in image_service.data: return None\n",
    ),
    _I.after("an image copy returns a size", "copy_image_to_volume", "answer = {'size': 1}"),
    _I.text(
        "an upload of nothing", 'image_service.update(context, image_meta["id"], {}, file)', "pass"
    ),
    _I.text(
        "an upload of an absent volume",
        'with self._existing(volume.name).open("rb") as file:\n            image_service',
        'if not self._volume(volume.name).exists(): return None\n        with self._existing(volume.name).open("rb") as file:\n            image_service',
    ),
    _I.after(
        "an upload clears the volume",
        "copy_volume_to_image",
        "os.truncate(self._volume(volume.name), 0)",
    ),
    _I.after(
        "an upload returns a status", "copy_volume_to_image", "answer = {'status': 'available'}"
    ),
    _I.after("an image that is always cloned", "clone_image", "answer = ({}, True)"),
    _I.after("an image that leaves a volume", "clone_image", "self.create_volume(volume)"),
    _O.after("a flag that is text", "snapshot_revert_use_temp_snapshot", "answer = 'no'"),
    _O.after("a flag that is None", "secure_file_operations_enabled", "answer = None"),
    _O.before(
        "a freeze that lasts",
        "freeze_backend",
        "os.chmod(self._root / 'volumes', 0o500); self._root = self._root / 'frozen'",
    ),
)
