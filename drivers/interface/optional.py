# SPDX-License-Identifier: Apache-2.0
"""Optional methods of volume drivers, each with a plain default.

Source: spec/interfaces §8; no seed has these, yet the operations need them.

A driver announces one of these by overriding it. ``NotImplementedError`` means
"not supported" and never harms: the worker takes the way named in the docstring
instead, and the driver has changed nothing. Calls are idempotent and may block,
as those of the core.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from drivers.interface.listing import BackendObject
from drivers.interface.records import Record
from drivers.interface.replication import Replicating

Update = Mapping[str, Any] | None
"""Columns of the resource's own row to be written after success; None for none.

It is a new dict that the driver builds, never the record that it was given. It
holds columns of that row only, and no other row's ``id``; in a volume's,
``metadata`` and ``admin_metadata`` replace the whole set of keys.
"""

FILES_MARKER = ".holdfast-backend"
"""File in the directory of a backend with the name of the backend that it belongs to."""

Connector = Mapping[str, Any]
"""The host that connects to a volume: ``host``, ``ip``, ``initiator``, ``multipath``, …"""


class Exporting:
    """Making a volume reachable, for backends where that is a step of its own."""

    def validate_connector(self, connector: Connector) -> None:
        """Check a connector before anything is exported to it; accepts all.

        :raises InvalidConnectorException: the text names the missing field.
        """

    def create_export(self, context: Any, volume: Record, connector: Connector | None) -> Update:
        """Make the volume reachable, before a connection is initialized.

        :param context: an administrator's request context.
        :raises DriverError: :meth:`remove_export` follows and removes the remains.
        """

    def ensure_export(self, context: Any, volume: Record) -> Update:
        """Make an export of a volume in use anew where it is gone, as after a reboot.

        An export that stands is left as it is, and so are those who use it.
        """

    def remove_export(self, context: Any, volume: Record) -> None:
        """Make the volume unreachable; absence is success.

        :raises RemoveExportException: it may still be reachable.
        """

    def create_export_snapshot(
        self, context: Any, snapshot: Record, connector: Connector | None
    ) -> Update:
        """Make a snapshot reachable, for a backup of it; else a temporary volume serves.

        :raises NotImplementedError: not supported.
        """
        raise NotImplementedError

    def remove_export_snapshot(self, context: Any, snapshot: Record) -> None:
        """Make a snapshot unreachable; absence is success.

        :raises NotImplementedError: not supported.
        """
        raise NotImplementedError

    def initialize_connection_snapshot(
        self, snapshot: Record, connector: Connector
    ) -> Mapping[str, Any]:
        """Let a connector read a snapshot; the answer is that for a volume.

        :raises NotImplementedError: not supported.
        """
        raise NotImplementedError

    def terminate_connection_snapshot(
        self, snapshot: Record, connector: Connector | None
    ) -> bool | None:
        """Take a connector's access to a snapshot away; None takes all away.

        :raises NotImplementedError: not supported.
        """
        raise NotImplementedError

    def secure_file_operations_enabled(self) -> bool:
        """Return whether the volume's files belong to the service's user."""
        return False


class Copying:
    """Ways of making a volume's data that are cheaper than reading and writing it."""

    def create_cloned_volume(self, volume: Record, src_vref: Record) -> Update:
        """Create a volume with another one's data as of now.

        The volume may be larger than the source: the driver makes it so, and nothing old
        is readable behind the data.

        :raises NotImplementedError: a temporary snapshot is used instead.
        :raises VolumeBackendAPIException: not created; its remains are removed
            by a ``delete_volume`` that follows; the source is unchanged.
        """
        raise NotImplementedError

    def revert_to_snapshot(self, context: Any, volume: Record, snapshot: Record) -> None:
        """Set the volume back to one of its snapshots.

        The volume keeps its size, also where it has grown since.

        :raises NotImplementedError: the data is copied from a temporary volume.
        :raises DriverError: the volume's data may be neither the one nor the other,
            unless :meth:`snapshot_revert_use_temp_snapshot` says otherwise.
        """
        raise NotImplementedError

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        """Return whether a revert that fails half way needs a safety snapshot."""
        return True

    def create_volume_from_backup(self, volume: Record, backup: Record) -> Update:
        """Create a volume with a backup's data.

        :raises NotImplementedError: an empty volume is made, and restored into.
        """
        raise NotImplementedError

    def get_backup_device(self, context: Any, backup: Record) -> tuple[Record, bool]:
        """Return the source that a backup is read from, and whether that is a snapshot.

        :raises NotImplementedError: the volume itself, or a temporary copy of it.
        """
        raise NotImplementedError

    def changed_extents(self, source: Record, since: Record) -> Sequence[tuple[int, int]] | None:
        """Say which parts of a volume or snapshot may differ from an older snapshot.

        An incremental backup reads nothing else, so a part too many costs time, and a
        part too few costs data. Neither is written to meanwhile.

        :param source: a volume or a snapshot (``source.kind``), of the same volume as
            ``since``, or a temporary copy of it.
        :returns: begin and end of each part in bytes, in order; None if they are unknown.
        :raises NotImplementedError: not supported.
        """
        raise NotImplementedError

    def backup_use_temp_snapshot(self) -> bool:
        """Return whether a volume in use is backed up through a snapshot, not a clone."""
        return False

    def clear_download(self, context: Any, volume: Record) -> None:
        """Clear up after an image's download into a volume was interrupted."""


class Moving:
    """A volume that changes its type, backend or owner, and keeps its data."""

    def accept_transfer(
        self, context: Any, volume: Record, new_user: str, new_project: str
    ) -> Update:
        """Learn that the volume gets another owner.

        :raises DriverError: the owner stays who it was.
        """

    def retype(
        self,
        context: Any,
        volume: Record,
        new_type: Record,
        diff: Mapping[str, Any],
        host: Mapping[str, Any],
    ) -> bool | tuple[bool, Update]:
        """Change the volume in place so that it fits another type.

        :param diff: ``extra_specs``, ``qos_specs``, ``encryption``: for each key that
            differs a pair of the old value and the new one.
        :param host: the backend that was chosen: ``host`` and ``capabilities``.
        :returns: whether it was done, and columns; False, with nothing changed,
            lets the worker migrate the volume where the caller allows it.
        """
        return False

    def migrate_volume(
        self, context: Any, volume: Record, host: Mapping[str, Any]
    ) -> tuple[bool, Update]:
        """Move the volume to another backend without the worker's help.

        One that was moved already, before a kill, is moved: the answer is the same.

        :param host: as for :meth:`retype`.
        :returns: whether it was moved, and columns; False, with nothing changed,
            lets the worker copy it.
        """
        return False, None

    def update_migrated_volume(
        self, ctxt: Any, volume: Record, new_volume: Record, original_volume_status: str
    ) -> Update:
        """Give a copied volume the old one's place, by renaming it if that is possible.

        On the copy's backend. Both records are as they were before, on a repetition too.

        :returns: columns of the volume that stays.
        :raises NotImplementedError: the row points to the new name from then on.
        """
        raise NotImplementedError

    def before_volume_copy(
        self, context: Any, src_vol: Record, dest_vol: Record, remote: str | None = None
    ) -> None:
        """Prepare for a copy by the worker.

        :param remote: which of the two is on another host: ``src``, ``dest`` or None.
        """

    def after_volume_copy(
        self, context: Any, src_vol: Record, dest_vol: Record, remote: str | None = None
    ) -> None:
        """Clear up after a copy by the worker, whether it went well or not."""


class Reporting:
    """Methods that report on the driver and on existing rows."""

    def update_provider_info(
        self, volumes: Sequence[Record], snapshots: Sequence[Record]
    ) -> tuple[list[dict[str, Any]] | None, list[dict[str, Any]] | None]:
        """Correct columns of existing rows at the start; each entry has an ``id``."""
        return None, None

    def get_pool(self, volume: Record) -> str | None:
        """Return the pool of a volume whose row does not say it; None if there are none."""
        return None

    def files_directory(self) -> str | None:
        """Return the directory that holds all data of the backend, where it is one.

        Asked before :meth:`do_setup`. The worker marks the directory at its first use; without
        the mark, as when its file system is not mounted, the driver is not set up.
        """
        return None

    def list_objects(
        self, volumes: Iterable[Record], snapshots: Iterable[Record]
    ) -> Iterable[BackendObject]:
        """List the volumes and snapshots on the backend, in any order; ``holdfast audit`` asks.

        The list is complete: an object that is missing in it counts as lost. It may have
        objects that are no volumes of the service; those with names of other forms are ignored.

        :param volumes: the rows of the backend's volumes, which are read when they are iterated:
            for a backend that knows its objects by other ids than their names.
        :param snapshots: the rows of its snapshots, likewise.
        :raises NotImplementedError: not supported.
        """
        raise NotImplementedError

    def get_version(self) -> str | None:
        """Return the driver's version, for the log."""
        return None

    def set_throttle(self) -> None:
        """Learn that copies are to be slowed down as the configuration says."""

    capabilities: Mapping[str, Any] = MappingProxyType({})
    """``properties``: by extra spec a dict of ``title``, ``description``, ``type``, and perhaps
    ``enum``, ``default``, ``minimum``, ``maximum``; each extra spec begins with
    ``vendor_prefix`` and a colon."""

    def init_capabilities(self) -> None:
        """Set ``capabilities``, the extra specs that the driver understands.

        Called after the set-up, and whenever the capabilities are asked for anew.
        """

    def get_filter_function(self) -> str | None:
        """Return the expression by which a scheduler accepts the backend."""
        return None

    def get_goodness_function(self) -> str | None:
        """Return the expression by which a scheduler rates the backend, 0 to 100."""
        return None


class OptionalMethods(Exporting, Copying, Moving, Reporting, Replicating):
    """All of them, for a driver to choose from."""
