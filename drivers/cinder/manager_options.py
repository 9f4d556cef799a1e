# SPDX-License-Identifier: Apache-2.0
"""Options that cinder-volume registers for drivers, apart from those of their base class.

Cinder's are in ``cinder.volume.manager``, whose import takes a second and 15 MiB. A test
compares these with them.
"""

from __future__ import annotations

from oslo_config import cfg

OF_BACKENDS = [
    cfg.StrOpt(
        "volume_driver",
        default="cinder.volume.drivers.lvm.LVMVolumeDriver",
        help="Class of the driver.",
    ),
    cfg.StrOpt(
        "extra_capabilities",
        default="{}",
        help="A JSON object with capabilities that are added to those of the driver.",
    ),
    cfg.BoolOpt(
        "suppress_requests_ssl_warnings",
        default=False,
        help="Do not log that a TLS certificate is not verified.",
    ),
    cfg.IntOpt(
        "backend_native_threads_pool_size",
        default=20,
        min=20,
        help="Calls of the driver's code that eventlet would run on native threads, at once.",
    ),
]
"""Registered in the section of a backend and in [backend_defaults]."""

OF_SERVICE = [
    cfg.IntOpt(
        "migration_create_volume_timeout_secs",
        default=300,
        help="Seconds until the volume of a migration must be there.",
    ),
    cfg.BoolOpt(
        "volume_service_inithost_offload",
        default=False,
        help="Without effect: interrupted work always resumes beside new work.",
    ),
    cfg.StrOpt("zoning_mode", help="The mode of Fibre Channel zoning: fabric, or none."),
    cfg.IntOpt(
        "reinit_driver_count",
        default=3,
        help="Without effect: the set-up of a driver is tried for ever.",
    ),
    cfg.IntOpt(
        "init_host_max_objects_retrieval",
        default=0,
        help="Without effect: rows are read in batches always.",
    ),
    cfg.IntOpt(
        "backend_stats_polling_interval",
        default=60,
        min=3,
        help="Seconds between two requests for a driver's statistics.",
    ),
]
"""Registered in [DEFAULT]."""
