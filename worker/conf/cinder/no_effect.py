# SPDX-License-Identifier: Apache-2.0
"""Options without effect, as they tune a mechanism that works another way here.

They change no visible behaviour, apart from the notes here.
"""

from __future__ import annotations

_PARSER = "headers are read by a parser of our own, in bounded memory"
_PROGRESS = "backup_enable_progress_timer is for every store here"
_POOL = "threads are those of executor_thread_pool_size here"

SERVICE: dict[str, str] = {
    "backdoor_port": "there is no backdoor",
    "backdoor_socket": "there is no backdoor",
    "backup_name_template": "only the Ceph store uses it",
    "backup_native_threads_pool_size": "backup_transfers and backup_threads say it here",
    "backup_object_number_per_notification": "progress is reported by time, backup_timer_interval",
    "backup_s3_enable_progress_timer": _PROGRESS,
    "backup_service_inithost_offload": "interrupted work always resumes beside new work",
    "backup_swift_enable_progress_timer": _PROGRESS,
    "compression_format": "gzip is the only one",
    "compute_api_class": "there is no other compute service than Nova",
    "glance_api_ssl_compression": "TLS is never compressed",
    "image_introspection_address_space_limit": _PARSER,
    "image_introspection_cpu_limit": _PARSER,
    "init_host_max_objects_retrieval": "volumes are read in batches always",
    "keystone_catalog_info": "the login of a store says where it is (backup_swift_auth_url)",
    "monkey_patch": "modules are not patched",
    "monkey_patch_modules": "modules are not patched",
    "periodic_fuzzy_delay": "the first report is sent at once",
    "periodic_interval": "reports have their own rhythm, backend_stats_polling_interval",
    "reinit_driver_count": "a driver that does not come up is tried for ever, 1 to 60 s apart",
    "run_external_periodic_tasks": "there are none",
    "split_loggers": "requests are not logged in parts",
    "volume_service_inithost_offload": "interrupted work always resumes beside new work",
}
"""Options of [DEFAULT], each with the reason why it has no effect."""

BACKEND: dict[str, str] = {
    "backend_native_threads_pool_size": _POOL,
    "enforce_multipath_for_image_xfer": "whether multipathd runs is not looked at",
    "num_volume_device_scan_tries": "os-brick looks three times",
    "suppress_requests_ssl_warnings": "these warnings are shown",
    "use_multipath_for_image_xfer": "the one in [DEFAULT] is for all backends",
    "volume_copy_blkio_cgroup_name": "only has a meaning with volume_copy_bps_limit",
    "volume_dd_blocksize": "data is copied in pieces of 4 MiB",
}
"""Options of backends, with the reason why our own drivers do without them."""

SECTIONS: dict[str, str] = {
    "oslo_reports": "SIGUSR2 has a process report its state here, [monitoring] report_directory",
    "oslo_versionedobjects": "objects are read by a codec of our own",
    "profiler": "requests are not traced by osprofiler",
    "profiler_jaeger": "requests are not traced by osprofiler",
    "profiler_otlp": "requests are not traced by osprofiler",
}
"""Whole sections, each with its meaning."""
