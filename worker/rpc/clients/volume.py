# SPDX-License-Identifier: Apache-2.0
"""The volume service, for schedulers, other programs and the command line.

Each method goes to the backend that its resource lives on (spec/volume-rpc §1 and §2).
"""

from __future__ import annotations

from collections.abc import Mapping

import oslo_messaging

from worker.rpc import objects, topics
from worker.rpc.clients.service import EncodeObject, RemoteMethod, ServiceClient, call, cast

_LISTING = "marker limit offset sort_keys sort_dirs"

METHODS: Mapping[str, RemoteMethod] = {
    "create_volume": cast("3.0", "volume", "request_spec filter_properties allow_reschedule"),
    "delete_volume": cast("3.0", "volume", "unmanage_only cascade"),
    "create_snapshot": cast("3.0", "snapshot"),
    "delete_snapshot": cast("3.0", "snapshot", "unmanage_only"),
    "revert_to_snapshot": cast("3.15", "volume snapshot"),
    "extend_volume": cast("3.0", "volume new_size reservations"),
    "extend_volume_completion": cast("3.19", "volume new_size reservations error"),
    "retype": cast(
        "3.5", "volume new_type_id host", "migration_policy reservations old_reservations"
    ),
    "migrate_volume": cast("3.5", "volume host", "force_host_copy"),
    "migrate_volume_completion": call("3.0", "volume new_volume", "error"),
    "update_migrated_volume": call("3.0", "volume new_volume volume_status"),
    "manage_existing": cast("3.0", "volume ref"),
    "manage_existing_snapshot": cast("3.0", "snapshot ref"),
    "get_manageable_volumes": call("3.10", _LISTING, "want_objects"),
    "get_manageable_snapshots": call("3.10", _LISTING, "want_objects"),
    "copy_volume_to_image": cast("3.0", "volume_id image_meta"),
    "reimage": cast("3.20", "volume image_meta", "image_snap"),
    "initialize_connection": call("3.0", "volume connector"),
    "terminate_connection": call("3.0", "volume_id connector", "force"),
    "remove_export": call("3.0", "volume_id"),
    "initialize_connection_snapshot": call("3.13", "snapshot_id connector"),
    "terminate_connection_snapshot": call("3.13", "snapshot_id connector", "force"),
    "remove_export_snapshot": call("3.13", "snapshot_id"),
    "attach_volume": call("3.3", "volume_id instance_uuid host_name mountpoint mode", "volume"),
    "detach_volume": call("3.4", "volume_id", "attachment_id volume"),
    "attachment_update": call("3.9", "vref connector attachment_id"),
    "attachment_delete": call("3.9", "attachment_id vref"),
    "accept_transfer": call("3.16", "volume_id new_user new_project", "no_snapshots"),
    "create_group": cast("3.0", "group"),
    "delete_group": cast("3.0", "group"),
    "update_group": cast("3.0", "group", "add_volumes remove_volumes"),
    "create_group_from_src": cast("3.0", "group", "group_snapshot source_group"),
    "create_group_snapshot": cast("3.0", "group_snapshot"),
    "delete_group_snapshot": cast("3.0", "group_snapshot"),
    "enable_replication": cast("3.14", "group"),
    "disable_replication": cast("3.14", "group"),
    "failover_replication": cast("3.14", "group", "allow_attached_volume secondary_backend_id"),
    "list_replication_targets": call("3.14", "group"),
    "failover": cast("3.8", "", "secondary_backend_id"),
    "failover_host": cast("3.0", "", "secondary_backend_id"),
    "failover_completed": cast("3.8", "updates", fanout=True),
    "freeze_host": call("3.0"),
    "thaw_host": call("3.0"),
    "get_capabilities": call("3.0", "discover"),
    "publish_service_capabilities": cast("3.0", fanout=True),
    "secure_file_operations_enabled": call("3.0", "volume"),
    "get_backup_device": cast("3.17", "backup", "want_objects async_call"),
    "get_changed_extents": call("3.20", "resource since"),
    "list_backend_objects": call("3.20", "limit", "after"),
    "set_log_levels": cast("3.12", "log_request"),
    "get_log_levels": call("3.12", "log_request"),
    "do_cleanup": cast("3.7", "cleanup_request"),
    "create_consistencygroup": cast("3.0", "group"),
    "delete_consistencygroup": cast("3.0", "group"),
    "update_consistencygroup": cast("3.0", "group", "add_volumes remove_volumes"),
    "create_consistencygroup_from_src": cast("3.0", "group", "cgsnapshot source_cg"),
    "create_cgsnapshot": cast("3.0", "cgsnapshot"),
    "delete_cgsnapshot": cast("3.0", "cgsnapshot"),
}
"""Every method of the volume service, by its name."""

_ENCODED: Mapping[str, EncodeObject] = {
    "volume": objects.volume,
    "new_volume": objects.volume,
    "vref": objects.volume,
    "snapshot": objects.snapshot,
    "image_snap": objects.snapshot,
    "group": objects.group,
    "source_group": objects.group,
    "source_cg": objects.group,
    "group_snapshot": objects.group_snapshot,
    "cgsnapshot": objects.group_snapshot,
    "backup": objects.backup,
}
"""Arguments whose records become objects."""


class VolumeClient(ServiceClient):
    """Casts to and calls of volume services."""

    topic = topics.TOPIC
    label = "volume service"
    methods = METHODS
    encoders = _ENCODED

    def target(self, host: str | None, version: str) -> oslo_messaging.Target:
        """Return the queue of a backend."""
        return topics.volume_target(host, version)

    def fanout_topic(self, host: str | None) -> str:
        """Return the topic of a backend, or that of all of them."""
        return f"{topics.TOPIC}.{topics.extract_host(host)}" if host else topics.TOPIC
