# SPDX-License-Identifier: Apache-2.0
"""Optional methods of Cinder's drivers; ``announced`` chooses.

Where Cinder's base class does all there is to do, the worker does it instead: a method
stands here for the drivers that have one of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cinder import exception, utils

from drivers.cinder import translation
from drivers.cinder.adapter import CinderDriver, takes, update
from drivers.cinder.error_translation import translated
from drivers.cinder.optional.images import ImageServiceForCinder
from drivers.cinder.translation import changes, cinders, context, listed, recorded, volume_type
from drivers.interface.image import ENCRYPTION_KEY
from drivers.interface.optional import Connector, Update
from drivers.interface.records import Record


class ExportingCinderDriver(CinderDriver):
    """Making a volume, or a snapshot, reachable.

    ``attach_volume`` and ``detach_volume`` are not passed on: Cinder 29 does not call them.
    """

    def validate_connector(self, connector: Connector) -> None:
        with translated():
            self._made.validate_connector(dict(connector))

    def create_export(self, request: Any, volume: Record, connector: Connector | None) -> Update:
        given, known = cinders(volume, request), None if connector is None else dict(connector)
        with translated():
            answer = self._made.create_export(context(request), given, known)
            return update(volume, given, answer)

    def ensure_export(self, request: Any, volume: Record) -> Update:
        given = cinders(volume, request)
        with translated():
            answer = self._made.ensure_export(context(request), given)
            return update(volume, given, answer)

    def remove_export(self, request: Any, volume: Record) -> None:
        with translated():
            self._made.remove_export(context(request), cinders(volume, request))

    def create_export_snapshot(
        self, request: Any, snapshot: Record, connector: Connector | None
    ) -> Update:
        given, known = cinders(snapshot, request), None if connector is None else dict(connector)
        with translated():
            answer = self._made.create_export_snapshot(context(request), given, known)
            return update(snapshot, given, answer)

    def remove_export_snapshot(self, request: Any, snapshot: Record) -> None:
        with translated():
            self._made.remove_export_snapshot(context(request), cinders(snapshot, request))

    def initialize_connection_snapshot(
        self, snapshot: Record, connector: Connector
    ) -> Mapping[str, Any]:
        with translated():
            return dict(
                self._made.initialize_connection_snapshot(cinders(snapshot), dict(connector))
            )

    def terminate_connection_snapshot(
        self, snapshot: Record, connector: Connector | None, force: bool = False
    ) -> bool | None:
        known = None if connector is None else dict(connector)
        with translated():
            answer = self._made.terminate_connection_snapshot(cinders(snapshot), known, force=force)
        return answer if isinstance(answer, bool) else None


class CopyingCinderDriver(CinderDriver):
    """Data of volumes, images, snapshots and backups."""

    def create_cloned_volume(self, volume: Record, src_vref: Record) -> Update:
        with self.cleaned(exception.VolumeNotFound, utils.clean_volume_file_locks, src_vref):
            return self._update("create_cloned_volume", volume, cinders(src_vref))

    def revert_to_snapshot(self, request: Any, volume: Record, snapshot: Record) -> None:
        with translated():
            self._made.revert_to_snapshot(
                context(request), cinders(volume, request), cinders(snapshot, request)
            )

    def create_volume_from_backup(self, volume: Record, backup: Record) -> Update:
        return self._update("create_volume_from_backup", volume, cinders(backup))

    def get_backup_device(self, request: Any, backup: Record) -> tuple[Record, bool]:
        with translated():
            found, is_snapshot = self._made.get_backup_device(
                context(request), cinders(backup, request)
            )
        return recorded(found), bool(is_snapshot)

    def clear_download(self, request: Any, volume: Record) -> None:
        with translated():
            self._made.clear_download(context(request), cinders(volume, request))

    # The worker recognises the form by the order of the arguments (spec/interfaces §2).
    def clone_image(  # type: ignore[override]
        self,
        context: Any,
        volume: Record,
        image_location: Any,
        image_metadata: Mapping[str, Any],
        image_service: Any,
    ) -> Any:
        given, images = cinders(volume, context), ImageServiceForCinder(image_service, context)
        known = {**image_metadata, "properties": dict(image_metadata.get("properties") or {})}
        with translated():
            answer = self._made.clone_image(
                translation.context(context), given, image_location, known, images
            )
            if not isinstance(answer, tuple) or len(answer) != 2:
                return answer
        return update(volume, given, answer[0]), answer[1]

    def copy_image_to_volume(
        self,
        request: Any,
        volume: Record,
        image_service: Any,
        image_id: str,
        disable_sparse: bool = False,
    ) -> Update:
        image = image_service.show(request, image_id)
        if _is_ours(image):
            raise NotImplementedError("the worker writes this image through a connection")
        call = self._made.copy_image_to_volume
        if volume.encryption_key_id and not (image.get("properties") or {}).get(ENCRYPTION_KEY):
            call = self._made.copy_image_to_encrypted_volume
        given, images = cinders(volume, request), ImageServiceForCinder(image_service, request)
        more = {"disable_sparse": disable_sparse} if takes(call, "disable_sparse") else {}
        with translated():
            call(context(request), given, images, image_id, **more)
        return changes(given) or None

    def copy_volume_to_image(
        self, request: Any, volume: Record, image_service: Any, image_meta: Mapping[str, Any]
    ) -> Update:
        given, images = cinders(volume, request), ImageServiceForCinder(image_service, request)
        with translated():
            self._made.copy_volume_to_image(context(request), given, images, dict(image_meta))
        return changes(given) or None


class MovingCinderDriver(CinderDriver):
    """Another type, backend or owner."""

    def accept_transfer(
        self, request: Any, volume: Record, new_user: str, new_project: str
    ) -> Update:
        given = cinders(volume, request)
        with translated():
            answer = self._made.accept_transfer(context(request), given, new_user, new_project)
            return update(volume, given, answer)

    def retype(
        self,
        request: Any,
        volume: Record,
        new_type: Record,
        diff: Mapping[str, Any],
        host: Mapping[str, Any],
    ) -> bool | tuple[bool, Update]:
        given = cinders(volume, request)
        with translated():
            answer = self._made.retype(
                context(request), given, volume_type(new_type), dict(diff), dict(host)
            )
        return _with_update(volume, given, answer)

    def migrate_volume(
        self, request: Any, volume: Record, host: Mapping[str, Any]
    ) -> tuple[bool, Update]:
        given = cinders(volume, request)
        with translated():
            answer = self._made.migrate_volume(context(request), given, dict(host))
        return _with_update(volume, given, answer)

    def update_migrated_volume(
        self, ctxt: Any, volume: Record, new_volume: Record, original_volume_status: str
    ) -> Update:
        with translated():
            answer = self._made.update_migrated_volume(
                context(ctxt),
                cinders(volume, ctxt),
                cinders(new_volume, ctxt),
                original_volume_status,
            )
        return None if answer is None else dict(answer)

    def before_volume_copy(
        self, request: Any, src_vol: Record, dest_vol: Record, remote: str | None = None
    ) -> None:
        with translated():
            source, target = cinders(src_vol, request), cinders(dest_vol, request)
            self._made.before_volume_copy(context(request), source, target, remote=remote)

    def after_volume_copy(
        self, request: Any, src_vol: Record, dest_vol: Record, remote: str | None = None
    ) -> None:
        with translated():
            source, target = cinders(src_vol, request), cinders(dest_vol, request)
            self._made.after_volume_copy(context(request), source, target, remote=remote)


class ReportingCinderDriver(CinderDriver):
    """Methods that report on existing rows."""

    def update_provider_info(
        self, volumes: Sequence[Record], snapshots: Sequence[Record]
    ) -> tuple[list[dict[str, Any]] | None, list[dict[str, Any]] | None]:
        with translated():
            answer = self._made.update_provider_info(listed(volumes), listed(snapshots))
        return answer or (None, None)

    def get_pool(self, volume: Record) -> str | None:
        with translated():
            found = self._made.get_pool(cinders(volume))
        return None if found is None else str(found)


_OURS = ("vhd", "ploop")
"""Formats of images that Cinder's code refuses, although it has them in its lists."""

_PACKED = "compressed"
"""Container format that Cinder's code unpacks without a limit."""


def _is_ours(image: Mapping[str, Any]) -> bool:
    return image.get("disk_format") in _OURS or image.get("container_format") == _PACKED


def _with_update(volume: Record, given: Any, answer: Any) -> tuple[bool, Update]:
    if isinstance(answer, tuple) and len(answer) == 2:
        return bool(answer[0]), update(volume, given, answer[1])
    return bool(answer), changes(given) or None
