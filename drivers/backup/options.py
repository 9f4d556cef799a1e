# SPDX-License-Identifier: Apache-2.0
"""Options of the stores, apart from their libraries: other services know them as well.

Options that Cinder has, too, have its names.
"""

from __future__ import annotations

from oslo_config import cfg

COMPRESSIONS = {
    "none": "none",
    "off": "none",
    "no": "none",
    "zlib": "zlib",
    "gzip": "zlib",
    "bz2": "bz2",
    "bzip2": "bz2",
    "zstd": "zstd",
}
"""Values of ``backup_compression_algorithm``, each with its one name in the format."""

TRANSFERS: list[cfg.Opt] = [
    cfg.IntOpt(
        "backup_transfers",
        default=4,
        min=1,
        max=64,
        help="Objects that are on their way at once in each process, whichever backups they "
        "belong to. Each takes up to 12 MiB of memory.",
    ),
    cfg.IntOpt(
        "backup_bandwidth_limit",
        default=0,
        min=0,
        help="MiB of volumes that each process reads or writes in a second; 0: no limit.",
    ),
]

CHUNKED: list[cfg.Opt] = [
    cfg.BoolOpt(
        "backup_create_containers",
        default=True,
        help="Whether a missing container, bucket or directory of a backup is made; if not, the "
        "backup fails.",
    ),
    cfg.StrOpt(
        "backup_compression_algorithm",
        default="zlib",
        ignore_case=True,
        choices=list(COMPRESSIONS),
        help="How objects are compressed; one that does not get smaller is stored as it is. "
        "none, off and no are the same, and so are zlib and gzip, bz2 and bzip2.",
    ),
    cfg.StrOpt(
        "backup_work_path",
        default="$state_path/backup-work",
        help="Directory for the checkpoints of running transfers: 32 bytes for each block "
        "of a volume that is not a hole, twice that while an incremental backup is made.",
    ),
    *TRANSFERS,
    cfg.IntOpt(
        "backup_threads",
        default=0,
        min=0,
        help="Threads that hash and compress in each process; 0: as many as it has processors.",
    ),
]

POSIX: list[cfg.Opt] = [
    cfg.StrOpt(
        "backup_posix_path",
        default="$state_path/backup",
        help="Directory of the backups.",
    ),
    cfg.BoolOpt(
        "backup_posix_path_shared",
        default=False,
        help="Whether all hosts with this backup_posix_path have the same directory there. Hosts "
        "that also share a journal adopt each other's backups. It need not be set for NFS, "
        "CephFS and other network file systems that are mounted when the service starts.",
    ),
    cfg.StrOpt(
        "backup_container",
        help="No effect: a backup without a container has a directory of its own below "
        "backup_posix_path, named after its id.",
    ),
    cfg.IntOpt(
        "backup_file_size",
        default=1999994880,
        min=1,
        help="Bytes of a volume in one file, a multiple of backup_sha_block_size_bytes.",
    ),
    cfg.IntOpt(
        "backup_sha_block_size_bytes",
        default=32768,
        min=1,
        help="Bytes of each hashed block; an incremental backup stores the changed blocks. "
        "It must stay the same for all backups of a chain.",
    ),
]

NFS: list[cfg.Opt] = [
    cfg.StrOpt("backup_share", help="The share, as host:/path."),
    cfg.StrOpt(
        "backup_mount_point_base",
        default="$state_path/backup_mount",
        help="Directory below which the share is mounted, in a directory called as the MD5 of "
        "backup_share, in hexadecimal. It is mounted by the service, with backup_root_helper, "
        "unless it is mounted there already.",
    ),
    cfg.StrOpt("backup_mount_options", help="Options of mount for the share, as in fstab."),
    cfg.IntOpt(
        "backup_mount_attempts", default=3, min=1, help="How often mounting the share is tried."
    ),
]

S3: list[cfg.Opt] = [
    cfg.StrOpt("backup_s3_endpoint_url", help="Where the store is; empty means Amazon's own."),
    cfg.StrOpt("backup_s3_store_access_key", secret=True, help="Access key."),
    cfg.StrOpt("backup_s3_store_secret_key", secret=True, help="Secret key."),
    cfg.StrOpt(
        "backup_s3_store_bucket",
        default="volumebackups",
        help="Bucket for backups that name no container; made where it is missing.",
    ),
    cfg.StrOpt("backup_s3_region", default="us-east-1", help="Region, for the signature."),
    cfg.IntOpt(
        "backup_s3_object_size",
        default=52428800,
        min=1,
        help="Bytes of a volume in one object, a multiple of backup_s3_block_size.",
    ),
    cfg.IntOpt(
        "backup_s3_block_size",
        default=32768,
        min=1,
        help="Bytes of each hashed block; it must stay the same for all backups of a chain.",
    ),
    cfg.StrOpt("backup_s3_http_proxy", default="", help="Proxy for http."),
    cfg.StrOpt("backup_s3_https_proxy", default="", help="Proxy for https."),
    cfg.FloatOpt("backup_s3_timeout", default=60, min=0.1, help="Seconds to wait for an answer."),
    cfg.IntOpt(
        "backup_s3_max_pool_connections",
        default=10,
        min=1,
        help="Connections that are kept; no fewer than backup_transfers.",
    ),
    cfg.IntOpt(
        "backup_s3_retry_max_attempts",
        default=4,
        min=0,
        help="How often a request that failed is repeated.",
    ),
    cfg.StrOpt(
        "backup_s3_retry_mode",
        default="legacy",
        choices=["legacy", "standard", "adaptive"],
        help="How it is repeated.",
    ),
    cfg.BoolOpt(
        "backup_s3_verify_ssl",
        default=True,
        help="Whether certificates are checked; if not, backup_s3_ca_cert_file has no effect.",
    ),
    cfg.StrOpt("backup_s3_ca_cert_file", help="Certificates of those who are trusted."),
    cfg.BoolOpt(
        "backup_s3_md5_validation",
        default=True,
        help="Whether the store compares the MD5 of uploads.",
    ),
    cfg.StrOpt("backup_s3_sse_customer_key", secret=True, help="Key with which it encrypts."),
    cfg.StrOpt("backup_s3_sse_customer_algorithm", help="Algorithm with which it encrypts."),
]

SWIFT: list[cfg.Opt] = [
    cfg.StrOpt(
        "backup_swift_auth",
        default="per_user",
        choices=["per_user", "single_user"],
        help="Whose account backups lie in: single_user, that of backup_swift_user; per_user, that "
        "of the backup's project, with the token of the user who asks. Tokens are not stored: a "
        "restart of the service ends running backups and restores of per_user with an error.",
    ),
    cfg.StrOpt(
        "backup_swift_url",
        help="With per_user: address of Swift to which the id of the project is added, such as "
        "https://swift.example.org/v1/AUTH_ ; without it, each request's catalogue of services "
        "has the address. With single_user the login says it.",
    ),
    cfg.StrOpt(
        "swift_catalog_info",
        default="object-store:swift:publicURL",
        help="Entry of that catalogue, as type:name:endpoint. Names are not compared.",
    ),
    cfg.BoolOpt(
        "backup_swift_service_auth",
        default=False,
        help="Whether a token of [service_user] goes with the user's, so that Swift accepts this "
        "one after its end; also needs [service_user] send_service_user_token = true.",
    ),
    cfg.StrOpt("backup_swift_auth_url", help="Where one logs in."),
    cfg.StrOpt(
        "backup_swift_auth_version",
        default="1",
        choices=["1", "2", "3", "1.0", "2.0", "3.0"],
        help="Version of the protocol by which one logs in.",
    ),
    cfg.StrOpt("backup_swift_user", help="User."),
    cfg.StrOpt("backup_swift_key", secret=True, help="Password."),
    cfg.StrOpt("backup_swift_tenant", help="Project of version 2."),
    cfg.StrOpt("backup_swift_project", help="Project of version 3."),
    cfg.StrOpt("backup_swift_user_domain", help="Domain of the user."),
    cfg.StrOpt("backup_swift_project_domain", help="Domain of the project."),
    cfg.StrOpt("backup_swift_region_name", help="Region."),
    cfg.StrOpt(
        "backup_swift_container",
        default="volumebackups",
        help="Container for backups that name none; made where it is missing.",
    ),
    cfg.StrOpt("backup_swift_create_storage_policy", help="Storage policy of new containers."),
    cfg.IntOpt(
        "backup_swift_object_size",
        default=52428800,
        min=1,
        help="Bytes of a volume in one object, a multiple of backup_swift_block_size.",
    ),
    cfg.IntOpt(
        "backup_swift_block_size",
        default=32768,
        min=1,
        help="Bytes of each hashed block; it must stay the same for all backups of a chain.",
    ),
    cfg.IntOpt(
        "backup_swift_retry_attempts",
        default=3,
        min=0,
        help="How often a request that failed is repeated; the sending of an object is not.",
    ),
    cfg.IntOpt(
        "backup_swift_retry_backoff",
        default=2,
        min=0,
        help="Seconds before the first repetition; each next one waits twice as long.",
    ),
    cfg.FloatOpt("backup_swift_timeout", default=60, min=0.1, help="Seconds for an answer."),
    cfg.StrOpt("backup_swift_ca_cert_file", help="Certificates of those who are trusted."),
    cfg.BoolOpt(
        "backup_swift_auth_insecure",
        default=False,
        help="Whether certificates are not checked.",
    ),
]

CEPH: list[cfg.Opt] = [
    cfg.StrOpt(
        "backup_ceph_conf",
        default="/etc/ceph/ceph.conf",
        help="Configuration file of the cluster of the backups; it may be another one than the "
        "volumes'.",
    ),
    cfg.StrOpt(
        "backup_ceph_user", default="cinder", help="User of that cluster, without 'client.'."
    ),
    cfg.StrOpt("backup_ceph_pool", default="backups", help="Pool of the backups."),
    cfg.IntOpt(
        "backup_ceph_chunk_size",
        default=134217728,
        min=65536,
        help="Largest part of a volume that is in memory at once, in bytes. More than 2 MiB has "
        "no effect.",
    ),
    cfg.IntOpt(
        "backup_ceph_stripe_unit",
        default=0,
        min=0,
        help="Stripe unit of new base images in bytes; 0: not striped.",
    ),
    cfg.IntOpt(
        "backup_ceph_stripe_count",
        default=0,
        min=0,
        help="Stripe count of new base images; 0: not striped.",
    ),
    cfg.BoolOpt(
        "backup_ceph_image_journals",
        default=False,
        help="Whether new base images have a journal, for mirroring.",
    ),
    cfg.IntOpt(
        "backup_ceph_max_snapshots",
        default=0,
        min=0,
        help="Snapshots of backups that stay on the image of a volume; 0: all. Where that of the "
        "parent is gone, an incremental backup compares all data.",
    ),
    cfg.IntOpt(
        "backup_ceph_timeout",
        default=60,
        min=0,
        help="Seconds for a request to the cluster; 0: it may wait for ever.",
    ),
    cfg.BoolOpt(
        "restore_discard_excess_bytes",
        default=True,
        help="Whether a volume that is larger than the restored backup reads as zeros behind its "
        "data.",
    ),
]

ALL = (CHUNKED, POSIX, NFS, S3, SWIFT, CEPH)
