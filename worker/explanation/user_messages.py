# SPDX-License-Identifier: Apache-2.0
"""Messages for users, with their numbers as words (spec/volume-rpc §6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drivers.interface.records import Record
from flows import messages
from worker.explanation.operations import moment


def _words(names: Iterable[str]) -> dict[str, str]:
    return {getattr(messages, name): name.lower().replace("_", " ") for name in names}


_ACTIONS = _words(
    (
        *("ATTACH_VOLUME", "COPY_VOLUME_TO_IMAGE", "COPY_IMAGE_TO_VOLUME", "EXTEND_VOLUME"),
        *("CREATE_VOLUME", "CREATE_SNAPSHOT", "DELETE_SNAPSHOT", "CREATE_BACKUP"),
        *("DELETE_BACKUP", "RESTORE_BACKUP", "REIMAGE_VOLUME"),
    )
)

_DETAILS = _words(
    (
        *("UNKNOWN_ERROR", "DRIVER_NOT_INITIALIZED", "GLANCE_UPLOAD", "ATTACH_MODE"),
        *("QUOTA_EXCEEDED", "NO_SPACE_FOR_IMAGE", "ATTACH_FAILED", "COMPUTE_EXTEND"),
        *("DRIVER_FAILED_EXTEND", "SIGNATURE", "DRIVER_FAILED_CREATE", "SNAPSHOT_CREATE"),
        *("SNAPSHOT_METADATA", "SNAPSHOT_BUSY", "SNAPSHOT_DELETE", "BACKUP_STATE"),
        *("BACKUP_SERVICE_DOWN", "BACKUP_DEVICE", "BACKUP_CREATE", "DETACH_FAILED"),
        *("BACKUP_CLEANUP", "BACKUP_DELETE", "BACKUP_RESTORE", "VOLUME_STATE"),
        *("COMPUTE_REIMAGE", "IMAGE_FORMAT", "INCREMENTAL_IS_FULL"),
    )
)


def described(row: Record) -> dict[str, Any]:
    """Return a message; its text is the words of its action and its detail."""
    return {
        "at": moment(row.created_at),
        "level": row.message_level,
        "event_id": row.event_id,
        "text": _text(row),
        "resource_type": row.resource_type,
        "resource_id": row.resource_uuid,
        "request_id": row.request_id,
    }


def _text(row: Record) -> str:
    action, detail = str(row.action_id or ""), str(row.detail_id or "")
    return f"{_ACTIONS.get(action, action)}: {_DETAILS.get(detail, detail)}"
