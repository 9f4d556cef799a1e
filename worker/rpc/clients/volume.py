# SPDX-License-Identifier: Apache-2.0
"""The volume service, for schedulers, other programs and the command line.

Each method sends the lowest version that has it, to the backend that its
resource lives on (spec/volume-rpc §1 and §2, spec/service §2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import oslo_messaging

from worker.rpc import codec, objects, topics
from worker.rpc.clients.sender import Sender
from worker.rpc.context import RequestContext

_RETRIES = 3


@dataclass(frozen=True)
class Method:
    """How a method is sent.

    :param version: the lowest RPC version that has it.
    :param arguments: what it must be given.
    :param optional: what it may be given.
    :param answers: whether it is a call.
    :param fanout: whether all services of a topic get it.
    """

    version: str
    arguments: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    answers: bool = False
    fanout: bool = False

    def check(self, name: str, args: Mapping[str, Any]) -> None:
        """:raises ValueError: arguments are missing, or unknown."""
        if missing := [a for a in self.arguments if a not in args]:
            raise ValueError(f"{name} lacks {', '.join(missing)}")
        if unknown := sorted(set(args) - {*self.arguments, *self.optional}):
            raise ValueError(f"{name} has no {', '.join(unknown)}")


def _cast(version: str, arguments: str = "", optional: str = "", **flags: bool) -> Method:
    return Method(version, tuple(arguments.split()), tuple(optional.split()), **flags)


def _call(version: str, arguments: str = "", optional: str = "") -> Method:
    return _cast(version, arguments, optional, answers=True)


_LISTING = "marker limit offset sort_keys sort_dirs"

METHODS: Mapping[str, Method] = {
    "create_volume": _cast("3.0", "volume", "request_spec filter_properties allow_reschedule"),
    "delete_volume": _cast("3.0", "volume", "unmanage_only cascade"),
    "create_snapshot": _cast("3.0", "snapshot"),
    "delete_snapshot": _cast("3.0", "snapshot", "unmanage_only"),
    "revert_to_snapshot": _cast("3.15", "volume snapshot"),
    "extend_volume": _cast("3.0", "volume new_size reservations"),
    "extend_volume_completion": _cast("3.19", "volume new_size reservations error"),
    "retype": _cast(
        "3.5", "volume new_type_id host", "migration_policy reservations old_reservations"
    ),
    "migrate_volume": _cast("3.5", "volume host", "force_host_copy"),
    "migrate_volume_completion": _call("3.0", "volume new_volume", "error"),
    "update_migrated_volume": _call("3.0", "volume new_volume volume_status"),
    "manage_existing": _cast("3.0", "volume ref"),
    "manage_existing_snapshot": _cast("3.0", "snapshot ref"),
    "get_manageable_volumes": _call("3.10", _LISTING, "want_objects"),
    "get_manageable_snapshots": _call("3.10", _LISTING, "want_objects"),
    "copy_volume_to_image": _cast("3.0", "volume_id image_meta"),
    "reimage": _cast("3.20", "volume image_meta", "image_snap"),
    "initialize_connection": _call("3.0", "volume connector"),
    "terminate_connection": _call("3.0", "volume_id connector", "force"),
    "remove_export": _call("3.0", "volume_id"),
    "initialize_connection_snapshot": _call("3.13", "snapshot_id connector"),
    "terminate_connection_snapshot": _call("3.13", "snapshot_id connector", "force"),
    "remove_export_snapshot": _call("3.13", "snapshot_id"),
    "attach_volume": _call("3.3", "volume_id instance_uuid host_name mountpoint mode", "volume"),
    "detach_volume": _call("3.4", "volume_id", "attachment_id volume"),
    "attachment_update": _call("3.9", "vref connector attachment_id"),
    "attachment_delete": _call("3.9", "attachment_id vref"),
    "accept_transfer": _call("3.16", "volume_id new_user new_project", "no_snapshots"),
    "create_group": _cast("3.0", "group"),
    "delete_group": _cast("3.0", "group"),
    "update_group": _cast("3.0", "group", "add_volumes remove_volumes"),
    "create_group_from_src": _cast("3.0", "group", "group_snapshot source_group"),
    "create_group_snapshot": _cast("3.0", "group_snapshot"),
    "delete_group_snapshot": _cast("3.0", "group_snapshot"),
    "enable_replication": _cast("3.14", "group"),
    "disable_replication": _cast("3.14", "group"),
    "failover_replication": _cast("3.14", "group", "allow_attached_volume secondary_backend_id"),
    "list_replication_targets": _call("3.14", "group"),
    "failover": _cast("3.8", "", "secondary_backend_id"),
    "failover_host": _cast("3.0", "", "secondary_backend_id"),
    "failover_completed": _cast("3.8", "updates", fanout=True),
    "freeze_host": _call("3.0"),
    "thaw_host": _call("3.0"),
    "get_capabilities": _call("3.0", "discover"),
    "publish_service_capabilities": _cast("3.0", fanout=True),
    "secure_file_operations_enabled": _call("3.0", "volume"),
    "get_backup_device": _cast("3.17", "backup", "want_objects async_call"),
    "set_log_levels": _cast("3.12", "log_request"),
    "get_log_levels": _call("3.12", "log_request"),
    "do_cleanup": _cast("3.7", "cleanup_request"),
    "create_consistencygroup": _cast("3.0", "group"),
    "delete_consistencygroup": _cast("3.0", "group"),
    "update_consistencygroup": _cast("3.0", "group", "add_volumes remove_volumes"),
    "create_consistencygroup_from_src": _cast("3.0", "group", "cgsnapshot source_cg"),
    "create_cgsnapshot": _cast("3.0", "cgsnapshot"),
    "delete_cgsnapshot": _cast("3.0", "cgsnapshot"),
}
"""Every method of the volume service, by its name."""

_ENCODED: Mapping[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
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
}
"""Arguments whose records become objects."""


class VolumeClient:
    """Casts to and calls of volume services.

    :param transport: an RPC transport.
    :param timeout: how long to wait for an answer, in seconds.
    :param object_version: the oldest object version among the volume services.
    """

    def __init__(
        self,
        transport: Any,
        timeout: float = 60,
        object_version: str = objects.OBJECT_VERSION,
    ) -> None:
        self._sender = Sender(transport, topics.TOPIC, timeout)
        self._object_version = object_version

    def cast(self, request: RequestContext, host: str | None, method: str, /, **args: Any) -> None:
        """Send a method and wait for nothing; a call may be sent so as well.

        :param host: ``topics.address`` of the resource; a fanout without one goes to
            every volume service.
        :param args: records and rows are encoded, everything else goes as it is.
        :raises ValueError: no such method, or not its arguments.
        :raises InvalidVolume: there is no host.
        :raises BusUnavailable: it was not sent.
        """
        target, encoded = self._prepared(host, method, args)
        self._sender.cast(request, target, method, encoded, retry=_RETRIES)

    def call(self, request: RequestContext, host: str, method: str, /, **args: Any) -> Any:
        """Send a method and return its answer, with its objects readable.

        :raises oslo_messaging.RemoteError: it failed there.
        :raises oslo_messaging.MessagingTimeout: no answer in time.
        """
        target, encoded = self._prepared(host, method, args)
        if not METHODS[method].answers:
            raise ValueError(f"{method} gives no answer: it can only be cast")
        return codec.decode(self._sender.call(request, target, method, encoded, retry=_RETRIES))

    def _prepared(
        self, host: str | None, method: str, args: Mapping[str, Any]
    ) -> tuple[oslo_messaging.Target, dict[str, Any]]:
        if method not in METHODS:
            raise ValueError(f"the volume service has no method {method}")
        known = METHODS[method]
        known.check(method, args)
        encoded = {name: self._encoded(name, value) for name, value in args.items()}
        if not known.fanout:
            return topics.volume_target(host, known.version), encoded
        topic = f"{topics.TOPIC}.{topics.extract_host(host)}" if host else topics.TOPIC
        return oslo_messaging.Target(topic=topic, fanout=True, version=known.version), encoded

    def _encoded(self, name: str, value: Any) -> Any:
        value = codec.raw(value)
        if name in _ENCODED and isinstance(value, Mapping) and not codec.is_object(value):
            return _ENCODED[name](value, self._object_version)
        return value
