# SPDX-License-Identifier: Apache-2.0
"""One backend, whatever its driver; the section named in enabled_backends."""

from __future__ import annotations

from oslo_config import cfg, types

from worker.conf.option_groups import default

OWN = frozenset({"backend_host"})
"""Options that Cinder reads from a backend's own section only, not from [backend_defaults]."""

OPTS = [
    cfg.StrOpt(
        "volume_driver",
        default="local",
        help="Driver of the backend: the name of an entry point in holdfast.volume_drivers, "
        "as local, or the full path of a class, as package.module.Class.",
    ),
    cfg.StrOpt(
        "volume_backend_name",
        help="Name under which the scheduler knows the backend; several backends may share it.",
    ),
    cfg.Opt(
        "backend_host",
        type=default.HOST_NAME,
        help="Name that this backend uses instead of host, so that another node can take it "
        "over with its volumes. It has no effect in [backend_defaults], as in Cinder.",
    ),
    cfg.Opt(
        "backend_availability_zone",
        type=types.String(max_length=255),
        help="Availability zone of this backend, instead of storage_availability_zone.",
    ),
    cfg.IntOpt(
        "processes",
        default=1,
        min=1,
        max=64,
        help="Processes that serve this backend. They share its queue and its name; more "
        "than one helps where the processor is the limit.",
    ),
    cfg.IntOpt(
        "operations_max",
        default=0,
        min=0,
        mutable=True,
        help="How many operations of this backend run at once in each process, of each kind "
        "(quick ones, data transfers, others), where that is fewer than executor_thread_pool_size. "
        "0 means no such limit. Calls do not count.",
    ),
    cfg.IntOpt(
        "bandwidth_mib",
        default=0,
        min=0,
        mutable=True,
        help="MiB in a second that the data transfers of this backend move together in each "
        "process: images and copies. Backups are read by the backup service, which has "
        "backup_bandwidth_limit. 0 means no limit.",
    ),
    cfg.Opt(
        "operation_timeout",
        type=types.Dict(types.Integer(min=0)),
        default={},
        help="Seconds that an operation may take, by its name, and * for the others, as "
        "create_volume:600,*:7200; none by default. A longer one is reverted, and a thread "
        "that hangs in the driver is reported with its stack.",
    ),
    cfg.IntOpt(
        "stall_timeout",
        default=0,
        min=0,
        help="Seconds after which moving data without any progress is reported; 0: never.",
    ),
    cfg.StrOpt(
        "stall_action",
        default="report",
        choices=[
            ("report", "one line in the log, with the stack of the thread"),
            ("revert", "the operation is reverted as well"),
        ],
        help="Action on an operation whose data transfer makes no progress for stall_timeout.",
    ),
    cfg.IntOpt(
        "reserved_percentage",
        default=0,
        min=0,
        max=100,
        help="Percentage of the capacity that the scheduler leaves free.",
    ),
    cfg.Opt(
        "max_over_subscription_ratio",
        type=types.String(regex=r"^(auto|\d*\.\d+|\d+\.?)$"),
        default="20.0",
        help="How many times its capacity a thinly provisioned backend may promise, at least "
        "1, or auto: the ratio of promised to used capacity.",
    ),
    cfg.StrOpt(
        "extra_capabilities",
        default="{}",
        help="Capabilities to report besides those of the driver, as a JSON object.",
    ),
    cfg.StrOpt(
        "filter_function",
        help="Expression by which the scheduler accepts the backend for a volume, unless the "
        "driver gives one.",
    ),
    cfg.StrOpt(
        "goodness_function",
        help="Expression by which the scheduler rates the backend for a volume, from 0 to 100, "
        "unless the driver gives one.",
    ),
    cfg.BoolOpt(
        "image_volume_cache_enabled",
        default=False,
        help="Keep a volume of each image, and clone further volumes of that image from it. Needs "
        "cinder_internal_tenant_project_id and cinder_internal_tenant_user_id.",
    ),
    cfg.IntOpt(
        "image_volume_cache_max_size_gb",
        default=0,
        min=0,
        help="Sum of the sizes of the volumes of the image-volume cache, in each pool, in GiB; "
        "0: no limit. The one that was used least recently is deleted for another.",
    ),
    cfg.IntOpt(
        "image_volume_cache_max_count",
        default=0,
        min=0,
        help="Number of the volumes of the image-volume cache, in each pool; 0: no limit.",
    ),
    cfg.BoolOpt(
        "image_upload_use_cinder_backend",
        default=False,
        help="Keep a raw image of a volume in a clone of that volume, whose location Glance gets, "
        "in place of sending the data. Glance needs a store of the type cinder.",
    ),
    cfg.BoolOpt(
        "image_upload_use_internal_tenant",
        default=False,
        help="Whether such clones belong to cinder_internal_tenant_project_id, not to the project "
        "of the image.",
    ),
    cfg.BoolOpt(
        "report_discard_supported",
        default=False,
        help="Report in connection info that freed blocks can be discarded.",
    ),
    cfg.StrOpt(
        "disk_geometry",
        choices=[
            ("512", "physical and logical blocks of 512 bytes"),
            ("512e", "physical blocks of 4096 bytes, logical ones of 512"),
            ("4k", "physical and logical blocks of 4096 bytes"),
        ],
        help="Sizes of blocks to report in connection info, unless the driver reports them. "
        "Without the option none are reported, and guests see those of the storage.",
    ),
    cfg.MultiOpt(
        "replication_device",
        item_type=types.Dict(),
        secret=True,
        help="A target of replication: backend_id, and the driver's own options for it, as "
        "backend_id:second,san_ip:192.0.2.7. One line for each target.",
    ),
    cfg.StrOpt(
        "driver_data_namespace",
        help="Name under which the driver keeps its data about initiators; volume_backend_name "
        "if not set.",
    ),
    cfg.BoolOpt(
        "enable_unsupported_driver",
        default=False,
        help="Start the backend although its driver says that it is no longer supported.",
    ),
]
