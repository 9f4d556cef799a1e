# SPDX-License-Identifier: Apache-2.0
"""Options that mean nothing to these services: others read them, or drivers do by themselves."""

from __future__ import annotations

API = "cinder-api"
SCHEDULER = "cinder-scheduler"
STORES = "backup drivers that are not used"
DRIVERS = "Cinder's drivers"
FOREIGN = "drivers of other projects"

_API = """
    allow_availability_zone_fallback api_rate_limit
    az_cache_duration backup_api_class backup_use_same_host cloned_volume_same_az
    consistencygroup_api_class default_availability_zone default_group_type enable_force_upload
    glance_core_properties group_api_class max_age osapi_max_limit osapi_volume_ext_list
    osapi_volume_extension osapi_volume_listen osapi_volume_listen_port osapi_volume_use_ssl
    osapi_volume_workers project_id_regex public_endpoint quota_backup_gigabytes quota_backups
    reserved_image_namespaces resource_query_filters_file snapshot_same_host tcp_keepalive
    tcp_keepalive_count tcp_keepalive_interval transfer_api_class until_refresh
    use_default_quota_class use_forwarded_for volume_api_class volume_transfer_key_length
    volume_transfer_salt_length
    api_paste_config client_socket_timeout fatal_deprecations max_header_line tcp_keepidle
    wsgi_default_pool_size wsgi_keep_alive wsgi_log_format wsgi_server_debug
    """

_SCHEDULER = """
    allocated_capacity_weight_multiplier capacity_weight_multiplier max_over_subscription_ratio
    message_reap_interval
    reservation_clean_interval scheduler_default_filters scheduler_default_weighers
    scheduler_driver scheduler_driver_init_wait_time scheduler_host_manager
    scheduler_json_config_location scheduler_manager scheduler_max_attempts
    scheduler_weight_handler volume_number_multiplier
    """

# backup_driver itself is looked at: one of these stores is an error.
_STORES = """
    backup_gcs_block_size backup_gcs_bucket backup_gcs_bucket_location backup_gcs_credential_file
    backup_gcs_enable_progress_timer backup_gcs_num_retries backup_gcs_object_size
    backup_gcs_project_id backup_gcs_proxy_url backup_gcs_reader_chunk_size
    backup_gcs_retry_error_codes backup_gcs_storage_class backup_gcs_user_agent
    backup_gcs_writer_chunk_size glusterfs_backup_mount_point glusterfs_backup_share
    """

# Only drivers use them.
_DRIVERS = """
    rootwrap_config
    ssh_hosts_key_file strict_ssh_host_key_policy zoning_mode
    """

_BASE = """
    backup_use_temp_snapshot chap_password chap_username chiscsi_conf driver_client_cert
    driver_client_cert_key driver_ssl_cert_path driver_ssl_cert_verify driver_use_ssl
    iscsi_target_flags iscsi_write_cache iser_helper iser_ip_address iser_port iser_target_prefix
    num_iser_scan_tries num_shell_tries nvmeof_conn_info_version nvmet_ns_id nvmet_port_id
    scst_target_driver scst_target_iqn_name storage_protocol target_helper target_ip_address
    target_port target_prefix target_protocol target_secondary_ip_addresses trace_flags
    unique_fqdn_network use_chap_auth volume_clear volume_clear_ionice volume_clear_size volumes_dir
    """

BASE = frozenset(_BASE.split())
"""Options that every driver of Cinder has; further options of single drivers are theirs, too."""

OPTIONS: dict[tuple[str, str], str] = {("nova", "token_auth_url"): API}
"""Options in sections that Holdfast has as well, each with its reader."""

SERVICE: dict[str, str] = {
    name: reader
    for reader, names in (
        (API, _API),
        (SCHEDULER, _SCHEDULER),
        (STORES, _STORES),
        (DRIVERS, _DRIVERS),
    )
    for name in names.split()
}
"""Options of [DEFAULT], each with its reader."""

SECTIONS: dict[str, str] = {
    "audit_middleware_notifications": API,
    "cors": API,
    "healthcheck": API,
    "keystone_authtoken": API,
    "oslo_middleware": API,
    "oslo_middleware_tracing": API,
    "oslo_policy": API,
    "ssl": API,
    "oslo_concurrency": DRIVERS,
    "os_brick": DRIVERS,
    "privsep": DRIVERS,
    "privsep_entrypoint": DRIVERS,
    "privsep_osbrick": DRIVERS,
    "cinder_sys_admin": DRIVERS,
    "fc-zone-manager": DRIVERS,
    "brcd_fabric_example": DRIVERS,
    "cisco_fabric_example": DRIVERS,
    "oslo_messaging_metrics": API,
    "oslo_messaging_tracing": API,
}
"""Whole sections that Holdfast does not read, each with its reader."""

RENAMED: dict[str, str] = {
    "backup_service": "backup_driver",
    "enable_v3_api": "",
    "glance_api_version": "",
    "glance_host": "glance_api_servers",
    "glance_port": "glance_api_servers",
    "idle_timeout": "[database] connection_recycle_time",
    "iscsi_helper": "target_helper",
    "iscsi_ip_address": "target_ip_address",
    "iscsi_num_targets": "",
    "iscsi_port": "target_port",
    "iscsi_protocol": "target_protocol",
    "iscsi_target_prefix": "target_prefix",
    "min_pool_size": "",
    "lock_path": "[oslo_concurrency] lock_path",
    "log_format": "logging_context_format_string",
    "notification_driver": "[oslo_messaging_notifications] driver",
    "notification_topics": "[oslo_messaging_notifications] topics",
    "nova_catalog_admin_info": "[nova] interface",
    "nova_catalog_info": "[nova] interface",
    "os_region_name": "[nova] region_name",
    "osapi_max_request_body_size": "[oslo_middleware] max_request_body_size",
    "query_volume_filters": "resource_query_filters_file",
    "rabbit_host": "transport_url",
    "rabbit_hosts": "transport_url",
    "rabbit_password": "transport_url",
    "rabbit_port": "transport_url",
    "rabbit_userid": "transport_url",
    "rabbit_virtual_host": "transport_url",
    "rpc_backend": "transport_url",
    "sql_connection": "[database] connection",
    "sql_idle_timeout": "[database] connection_recycle_time",
    "use_syslog_rfc_format": "",
    "verbose": "",
    "volume_copy_blkio_cgroup": "volume_copy_blkio_cgroup_name",
    "volume_topic": "",
}
"""Names that Cinder 29 has removed, each with its replacement, empty for none."""
