# SPDX-License-Identifier: Apache-2.0
"""The contract of a backend that holds volumes.

Source: seeds, VolumeDriverCore; optional methods: spec/interfaces §8.

Any call may be repeated after a kill, so each is idempotent. Calls come from
several threads and, where a backend has several processes, from several
instances at once; never twice at once for the same volume or snapshot. Any call
may block. Sizes are in GiB. A driver never names a status: it raises, and the
operation derives the status.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

from oslo_config import cfg

from drivers.interface.optional import OptionalMethods, Update
from drivers.interface.records import Record

__all__ = ["ZEROED", "Record", "Update", "VolumeDriver"]

ZEROED = "new_volumes_are_zero"
"""Statistic by which a driver says that old data is never readable in new volumes."""


class VolumeDriver(OptionalMethods, abc.ABC):
    """A backend that holds volumes.

    :param configuration: the backend's options as attributes: those in ``OPTS``
        and the common ones, and ``safe_get(name)`` for any other.
    :param host: ``host@backend``, as it stands in the rows of its volumes.
    :param active_backend_id: the target of replication that serves in the backend's
        place; None for the backend itself.
    """

    OPTS: ClassVar[list[cfg.Opt]] = []
    """The driver's own options; they are read from the backend's section."""

    SUPPORTS_ACTIVE_ACTIVE: ClassVar[bool] = False
    """Whether several hosts of a cluster may serve the backend at once, with one instance of the
    driver each. Then any instance carries out any call, on objects of others as well, and no call
    depends on files, exports or memory of one host. The worker never makes two calls for one
    volume at once, on whatever hosts; what else excludes each other is the driver's to lock.
    The attribute has the name of Cinder's."""

    members_at_once: ClassVar[int] = 1
    """How many members of a group the worker may work on at the same time, where the
    driver has no method for the whole group."""

    def __init__(
        self, configuration: Any, *, host: str, active_backend_id: str | None = None, **_: Any
    ) -> None:
        self.configuration = configuration
        self.host = host
        self.active_backend_id = active_backend_id

    @classmethod
    def reason_against_cluster(cls, configuration: Any) -> str | None:
        """Return why a backend cannot be served by several hosts; None where it can.

        A driver that depends on its options overrides this. The start of a service in a cluster
        ends with the text.

        :param configuration: the backend's options.
        """
        if not cls.SUPPORTS_ACTIVE_ACTIVE:
            return f"{cls.__name__} is not active-active (SUPPORTS_ACTIVE_ACTIVE)"
        targets = configuration.safe_get("replication_device")
        if targets and cls.failover_completed is VolumeDriver.failover_completed:
            return f"{cls.__name__} has replication_device, and no method failover_completed"
        return None

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
        """Return whether the driver can work, and finish whatever set-up is left.

        Called after :meth:`do_setup`; try here whether the credentials are good and
        its dependencies are available. When it returns the driver is ready.

        :raises VolumeBackendAPIException: the backend stays uninitialized: it is
            sent no operation and reports itself down, until a later attempt.
        """

    @abc.abstractmethod
    def get_volume_stats(self, refresh: bool = False) -> Mapping[str, Any]:
        """Return the backend's capacity and features; the worker asks every minute.

        The answer is kept until a refresh, so that asking often costs nothing.

        Required:

        - ``volume_backend_name``: the option of that name, or the backend's section.
        - ``vendor_name``: who answers for the driver.
        - ``driver_version``: a string, logged at the start.
        - ``storage_protocol``: how consumers connect, as ``iSCSI``, ``FC``, ``nfs``.
        - ``total_capacity_gb``, ``free_capacity_gb``: GiB, or ``'unknown'``, or
          ``'infinite'``. Real figures are better: a scheduler ranks both words last.

        Optional:

        - ``reserved_percentage``: whole percent of the capacity kept from the scheduler.
        - ``provisioned_capacity_gb``: GiB promised so far, other users' space included.
        - ``max_over_subscription_ratio``: how many times the capacity may be promised.
        - ``thin_provisioning_support``, ``thick_provisioning_support``: booleans.
        - ``total_volumes``: a count, of use in filter functions.
        - ``filter_function``, ``goodness_function``: expressions over ``capabilities``;
          whether to take a volume (``capabilities.total_volumes < 10``), and how gladly.
        - ``multiattach``, ``QoS_support``: booleans, False when absent.
        - ``sparse_copy_volume``: copies by the worker should keep holes.
        - ``new_volumes_are_zero``: a new volume, and space that is added to one, reads as
          zeros, whatever lay there before. False when absent: the worker writes zeros then.
        - ``online_extend_support``: volumes in use can be extended; True when absent.
        - ``location_info``: a string by which the driver finds its objects again.
        - ``pools``: a list of dicts of this shape, each with a ``pool_name``.

        :param refresh: drop cached values and ask the backend again.
        """

    @abc.abstractmethod
    def create_volume(self, volume: Record) -> Update:
        """Allocate the volume's storage; export nothing, make nothing reachable.

        A volume that an interrupted try made is no error: one volume is there
        afterwards, and it is empty.

        :param volume: ``name`` is unique on the backend, ``size`` is in GiB.
        :returns: columns to write, or None.
        :raises VolumeBackendAPIException: not created; its remains are
            removed by a :meth:`delete_volume` that follows.
        """

    @abc.abstractmethod
    def delete_volume(self, volume: Record) -> None:
        """Remove the volume and its data; absence is success.

        The data must not show up in any volume created later, which is likely to
        belong to another user.

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
        :param initiator_data: the pairs that earlier calls had stored for this
            initiator; None or empty when there are none.
        :returns: ``driver_volume_type`` and a dict ``data``, both fit for JSON;
            optionally ``initiator_updates`` with ``set_values`` (pairs to store for
            this initiator) and ``remove_values`` (a list of keys, stored by an
            earlier call, to forget).
        :raises DriverError: ``remove_export`` follows; the connector has no access.
        """

    @abc.abstractmethod
    def terminate_connection(
        self, volume: Record, connector: Mapping[str, Any] | None
    ) -> bool | None:
        """Take a connector's access away; nothing to take away is success.

        A driver that wants to know whether the detach is forced takes ``force`` as
        a further keyword.

        :param connector: None, as in a forced detach, ends all connections.
        :returns: True when the host still uses a connection that it shares, or when other
            hosts use the export: it is not removed then.
        :raises DriverError: the access may still be there; the call can be repeated.
        """

    @abc.abstractmethod
    def extend_volume(self, volume: Record, new_size: int) -> None:
        """Grow the volume; a volume that has the size already is left as it is.

        Nothing old is readable in the added space: no caller clears it.

        A backend that cannot do so with a volume in use reports
        ``online_extend_support=False``.

        :param new_size: GiB, more than ``volume.size``.
        :raises TargetUpdateFailed: grown, only its export shows the old size.
        :raises DriverError: the data is as it was; the size may be the old or the new.
        """

    @abc.abstractmethod
    def create_snapshot(self, snapshot: Record) -> Update:
        """Keep the state of ``snapshot.volume`` as of now, also while it is in use.

        A snapshot that an interrupted try finished is left as it is.

        :param snapshot: ``name`` is unique on the backend, ``volume_name`` and
            ``volume`` say of which object, ``volume_size`` is in GiB.
        :returns: columns to write, or None.
        :raises DriverError: not created; its remains are removed by a
            :meth:`delete_snapshot` that follows; the volume is unchanged.
        """

    @abc.abstractmethod
    def delete_snapshot(self, snapshot: Record) -> None:
        """Remove the snapshot; absence is success.

        :raises SnapshotIsBusy: something depends on it; nothing was changed.
        :raises DriverError: it may be partly removed; the call can be repeated.
        """

    @abc.abstractmethod
    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Update:
        """Create a volume with a snapshot's data.

        The volume may be larger than the snapshot: the driver extends it, no caller
        extends it afterwards. Nothing old is readable behind the data. Where the type's
        extra specs say ``replication: True``, the driver also makes the replica and sets
        replication up between the two.

        :returns: columns to write, or None.
        :raises DriverError: as for :meth:`create_volume`; the snapshot is unchanged.
        """

    def attach_volume(
        self,
        context: Any,
        volume: Record,
        instance_uuid: str | None,
        host_name: str | None,
        mountpoint: str,
    ) -> None:
        """Learn that the compute side attaches the volume; it may learn that more than once.

        Attachments with an API of their own (Nova's way): called with the export made, before
        :meth:`initialize_connection` for the same host. In the older way: after the compute side
        has attached the volume.

        :param instance_uuid: the instance, None where a host itself attached it.
        :param host_name: the host, None where it is not known.
        :param mountpoint: the device's path inside the instance or host; ``na`` where it is not
            known.
        :raises Exception: the attachment counts as failed; :meth:`detach_volume` follows where
            the attachment has an API of its own.
        """

    def detach_volume(self, context: Any, volume: Record, attachment: Record | None = None) -> None:
        """Learn that the volume is being detached, or that its attachment failed.

        Attachments with an API of their own: called after :meth:`terminate_connection`. It is
        called before ``remove_export`` in any case.

        :param attachment: which attachment ends, where that is known.
        :raises Exception: in the older way, the attachment stays as one that could not be
            detached. Else it is logged: the host has no access any more.
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

        A driver whose first parameter is called ``context`` is given ``(context,
        volume, image_location, image_metadata, image_service)`` instead.

        :param volume: not yet there.
        :param image_location: where the image lies: a direct address or None, and
            a list of further locations or None.
        :param image_metadata: the image's properties: size, formats, checksum.
        :returns: ``(columns or None, whether it was cloned)``; a bare dict of
            columns counts as cloned, None as not. Not cloned leaves nothing behind.
        """
        return None, False

    def copy_image_to_volume(
        self, context: Any, volume: Record, image_service: Any, image_id: str
    ) -> Update:
        """Fetch an image and write it into a volume that exists.

        :returns: columns to write, or None.
        :raises NotImplementedError: the worker copies through a connection.
        :raises ImageError: see its kinds; the volume's data is to be thrown away.
        """
        raise NotImplementedError

    def copy_volume_to_image(
        self, context: Any, volume: Record, image_service: Any, image_meta: Mapping[str, Any]
    ) -> Update:
        """Write a volume's data into an image; the volume is only read.

        A driver that sends the data itself passes :data:`drivers.interface.image.Placement` to
        ``image_service.update``: the extra spec ``image_service:store_id`` of the type, and
        ``image_id`` of ``volume.glance_metadata``.

        :param image_meta: ``id``, ``container_format``, ``disk_format``, ….
        :returns: columns to write, or None.
        :raises NotImplementedError: the worker copies through a connection.
        :raises DriverError: the image is incomplete and is to be thrown away.
        """
        raise NotImplementedError
