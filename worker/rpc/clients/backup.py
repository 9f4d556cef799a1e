# SPDX-License-Identifier: Apache-2.0
"""The backup service, for schedulers, volume services and the command line.

A host has one service of that kind, whatever it backs up (spec/backup-rpc §1).
"""

from __future__ import annotations

from collections.abc import Mapping

import oslo_messaging

from worker.rpc import objects, topics
from worker.rpc.clients.service import EncodeObject, RemoteMethod, ServiceClient, call, cast

METHODS: Mapping[str, RemoteMethod] = {
    "create_backup": cast("2.0", "backup"),
    "continue_backup": cast("2.0", "backup backup_device"),
    "restore_backup": cast("2.0", "backup volume_id", "volume_is_new past_damage"),
    "can_restore_past_damage": call("2.0"),
    "delete_backup": cast("2.0", "backup"),
    "delete_from_chain": cast("2.0", "backup"),
    "consolidate_backup": cast("2.0", "backup"),
    "export_record": call("2.0", "backup"),
    "import_record": cast("2.0", "backup backup_service backup_url backup_hosts"),
    "reset_status": cast("2.0", "backup status"),
    "check_support_to_force_delete": call("2.0"),
    "set_log_levels": cast("2.1", "log_request"),
    "get_log_levels": call("2.1", "log_request"),
    "publish_service_capabilities": cast("2.2", fanout=True),
}
"""Every method of the backup service, by its name; Cinder has none for chains and damage."""

_ENCODED: Mapping[str, EncodeObject] = {"backup": objects.backup}


class BackupClient(ServiceClient):
    """Casts to and calls of backup services."""

    topic = topics.BACKUP_TOPIC
    label = "backup service"
    methods = METHODS
    encoders = _ENCODED

    def target(self, host: str | None, version: str) -> oslo_messaging.Target:
        """Return the queue of a host."""
        return topics.backup_target(host, version)
