# SPDX-License-Identifier: Apache-2.0
"""The contract of a backend that holds volumes.

Source: seeds, VolumeDriverCore; what is said of optional methods: spec/interfaces §8.

Any call may be repeated after a kill, so each is idempotent. Calls come from
several threads and, where a backend has several processes, from several
instances at once; never twice at once for the same volume or snapshot. Any call
may block. Sizes are in GiB. A driver never names a status: it raises, and the
operation knows what that means.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

from oslo_config import cfg

from drivers.interface.optional import OptionalMethods, Update
from drivers.interface.records import Record

__all__ = ["Record", "Update", "VolumeDriver"]


class VolumeDriver(OptionalMethods, abc.ABC):
    """A backend that holds volumes.

    :param configuration: the backend's options as attributes: those in ``OPTS``
        and the common ones, and ``safe_get(name)`` for any other.
    :param host: ``host@backend``, as it stands in the rows of its volumes.
    """

    OPTS: ClassVar[list[cfg.Opt]] = []
    """The driver's own options; they are read from the backend's section."""

    def __init__(self, configuration: Any, *, host: str, **_: Any) -> None:
        self.configuration = configuration
        self.host = host

    @abc.abstractmethod
    def do_setup(self, context: Any) -> None:
        """Prepare clients, licences, helpers.

        Called once, after construction and before anything else; another attempt
        at the set-up gets another instance.

        :param context: an administrator's request context.
        :raises Exception: the backend stays uninitialized.
        """

    @abc.abstractmethod
    def check_for_setup_error(self) -> None:
        """Say whether the driver can work, and finish whatever set-up is left.

        Called after :meth:`do_setup`; try here whether the credentials are good and
        what is depended on is there. When it returns the driver is ready.

        :raises VolumeBackendAPIException: the backend stays uninitialized: it is
            sent no operation and reports itself down, until a later attempt.
        """

    @abc.abstractmethod
    def get_volume_stats(self, refresh: bool = False) -> Mapping[str, Any]:
        """Return what the backend has and can do.

        Required: ``volume_backend_name``, ``vendor_name``, ``driver_version``,
        ``storage_protocol`` (``iSCSI``, ``FC``, ``nfs``, ``ceph``, …), and
        ``total_capacity_gb`` and ``free_capacity_gb`` in GiB, or ``'unknown'`` or
        ``'infinite'``, either of which a scheduler ranks last.

        Optional: ``reserved_percentage`` (whole percent kept from the scheduler),
        ``location_info`` (a string of the driver's own), ``QoS_support``,
        ``provisioned_capacity_gb`` (GiB, what others provisioned included),
        ``max_over_subscription_ratio``, ``thin_provisioning_support``,
        ``thick_provisioning_support``, ``total_volumes``, ``filter_function`` and
        ``goodness_function`` (expressions over ``capabilities``), ``multiattach``
        (False when absent), ``sparse_copy_volume`` (copies should keep holes),
        ``online_extend_support`` (True when absent), and ``pools``: a list of
        dicts of the same shape, each with a ``pool_name``.

        :param refresh: drop what is cached and ask the backend again.
        """

    @abc.abstractmethod
    def create_volume(self, volume: Record) -> Update:
        """Allocate the volume's storage; export nothing, make nothing reachable.

        :param volume: ``name`` is unique on the backend, ``size`` is in GiB.
        :returns: columns to write, or None.
        :raises VolumeBackendAPIException: not created; what is left of it is
            removed by a :meth:`delete_volume` that follows.
        """

    @abc.abstractmethod
    def delete_volume(self, volume: Record) -> None:
        """Remove the volume and its data; absence is success.

        The data must not show up in any volume created later, which is likely to
        be somebody else's.

        :raises VolumeIsBusy: still attached, or it has snapshots; nothing changed.
        :raises VolumeBackendAPIException: it may be partly removed; the call can
            be repeated.
        """

    @abc.abstractmethod
    def initialize_connection(
        self,
        volume: Record,
        connector: Mapping[str, Any],
        initiator_data: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Let a connector reach the volume and say how.

        May be called again for a volume that is attached, to ask for the same
        information.

        :param connector: who wants to connect: ``host``, ``ip``, ``initiator``, …
        :param initiator_data: what earlier calls had stored for this initiator.
        :returns: ``driver_volume_type`` and a dict ``data``; optionally
            ``initiator_updates`` with ``set_values`` (a dict to store for this
            initiator) and ``remove_values`` (a list of keys to forget).
        """

    @abc.abstractmethod
    def terminate_connection(
        self, volume: Record, connector: Mapping[str, Any] | None
    ) -> bool | None:
        """Take a connector's access away; nothing to take away is success.

        :param connector: None, as in a forced detach, ends all connections.
        :returns: True when the host still uses a connection that it shares.
        """

    @abc.abstractmethod
    def extend_volume(self, volume: Record, new_size: int) -> None:
        """Grow the volume; a volume that has the size already is left as it is.

        A backend that cannot do so with a volume in use reports
        ``online_extend_support=False``.

        :param new_size: GiB, more than ``volume.size``.
        :raises TargetUpdateFailed: grown, only its export shows the old size.
        """

    @abc.abstractmethod
    def create_snapshot(self, snapshot: Record) -> Update:
        """Keep the state of ``snapshot.volume`` as of now.

        :returns: columns to write, or None.
        """

    @abc.abstractmethod
    def delete_snapshot(self, snapshot: Record) -> None:
        """Remove the snapshot; absence is success.

        :raises SnapshotIsBusy: something depends on it; nothing was changed.
        """

    @abc.abstractmethod
    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Update:
        """Create a volume with a snapshot's data.

        The volume may be larger than the snapshot: the driver makes it so. Where
        the type's extra specs say ``replication: True``, the driver also makes the
        replica and sets replication up between the two.

        :returns: columns to write, or None.
        """

    def attach_volume(
        self,
        context: Any,
        volume: Record,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
    ) -> None:
        """Learn that the compute side has attached the volume.

        :param mountpoint: the device's path inside the instance or host.
        """

    def detach_volume(self, context: Any, volume: Record, attachment: Record | None = None) -> None:
        """Learn that the volume is being detached.

        :param attachment: which attachment ends, where that is known.
        """

    def clone_image(
        self,
        volume: Record,
        image_location: Any,
        image_id: str,
        image_metadata: Mapping[str, Any],
        image_service: Any,
    ) -> Any:
        """Create a volume from an image without copying its data.

        :param image_location: where the image lies: a direct address or None, and
            a list of further locations or None.
        :returns: ``(columns or None, whether it was cloned)``; a bare dict of
            columns counts as cloned, None as not.
        """
        return None, False

    def copy_image_to_volume(
        self, context: Any, volume: Record, image_service: Any, image_id: str
    ) -> Update:
        """Fetch an image and write it into a volume that exists.

        :raises NotImplementedError: the worker copies through a connection.
        """
        raise NotImplementedError

    def copy_volume_to_image(
        self, context: Any, volume: Record, image_service: Any, image_meta: Mapping[str, Any]
    ) -> Update:
        """Write a volume's data into an image.

        :param image_meta: ``id``, ``container_format``, ``disk_format``, ….
        :raises NotImplementedError: the worker copies through a connection.
        """
        raise NotImplementedError
