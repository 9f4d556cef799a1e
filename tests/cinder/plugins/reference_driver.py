# SPDX-License-Identifier: Apache-2.0
"""A driver for cinder-volume that keeps volumes as sparse files: the control's backend.

It runs inside Cinder, so it imports nothing of ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from cinder import exception
from cinder.image import image_utils
from cinder.volume import driver
from oslo_config import cfg

GIB = 1024**3
UNLUCKY = "unlucky"

OPTS = [cfg.StrOpt("local_path", help="Where the files are.")]


class ReferenceDriver(driver.VolumeDriver):
    """Volumes and snapshots are files of their names."""

    VERSION = "1"
    SUPPORTS_ACTIVE_ACTIVE = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTS)
        self._place = self.configuration.local_path

    def check_for_setup_error(self) -> None:
        os.makedirs(self._place, exist_ok=True)

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        name = self.configuration.volume_backend_name
        pool = {
            "pool_name": name,
            "total_capacity_gb": 100,
            "free_capacity_gb": 100,
            "provisioned_capacity_gb": 0,
            "allocated_capacity_gb": 0,
            "reserved_percentage": 0,
            "max_over_subscription_ratio": "20.0",
            "thin_provisioning_support": True,
            "thick_provisioning_support": False,
            "multiattach": True,
            "online_extend_support": True,
            "consistent_group_snapshot_enabled": False,
        }
        return {
            "volume_backend_name": name,
            "vendor_name": "reference",
            "driver_version": self.VERSION,
            "storage_protocol": "local",
            "pools": [pool],
        }

    def create_volume(self, volume: Any) -> None:
        if volume.display_name == UNLUCKY:
            raise exception.VolumeBackendAPIException(data="the disk shelf went away")
        self._sized(volume)

    def delete_volume(self, volume: Any) -> None:
        self._gone(volume)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        os.truncate(self._path(volume), new_size * GIB)

    def create_snapshot(self, snapshot: Any) -> None:
        self._copied(snapshot.volume, snapshot)

    def delete_snapshot(self, snapshot: Any) -> None:
        self._gone(snapshot)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        self._copied(snapshot, volume)
        self._sized(volume)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        self._copied(src_vref, volume)
        self._sized(volume)

    def revert_to_snapshot(self, context: Any, volume: Any, snapshot: Any) -> None:
        self._copied(snapshot, volume)

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        pass

    def ensure_export(self, context: Any, volume: Any) -> None:
        pass

    def remove_export(self, context: Any, volume: Any) -> None:
        pass

    def initialize_connection(self, volume: Any, connector: Any) -> dict[str, Any]:
        return {"driver_volume_type": "local", "data": {"device_path": self._path(volume)}}

    def terminate_connection(self, volume: Any, connector: Any, **kwargs: Any) -> None:
        pass

    def copy_image_to_volume(
        self, context: Any, volume: Any, image_service: Any, image_id: str, **kwargs: Any
    ) -> None:
        image_utils.fetch_to_raw(
            context, image_service, image_id, self._path(volume), "1M", size=volume.size
        )
        self._sized(volume)

    def copy_volume_to_image(
        self, context: Any, volume: Any, image_service: Any, image_meta: Any
    ) -> None:
        image_utils.upload_volume(context, image_service, image_meta, self._path(volume), volume)

    def manage_existing_get_size(self, volume: Any, existing_ref: Any) -> int:
        size = os.stat(self._named(existing_ref)).st_size
        return -(-size // GIB)

    def manage_existing(self, volume: Any, existing_ref: Any) -> None:
        os.rename(self._named(existing_ref), self._path(volume))

    def unmanage(self, volume: Any) -> None:
        pass

    def get_manageable_volumes(
        self,
        cinder_volumes: Any,
        marker: Any,
        limit: int,
        offset: int,
        sort_keys: Any,
        sort_dirs: Any,
    ) -> list[dict[str, Any]]:
        return [
            {
                "reference": {"source-name": name},
                "size": 1,
                "safe_to_manage": True,
                "reason_not_safe": None,
                "cinder_id": None,
                "extra_info": None,
            }
            for name in sorted(os.listdir(self._place))
            if not name.startswith(("volume-", "snapshot-"))
        ]

    def manage_existing_snapshot_get_size(self, snapshot: Any, existing_ref: Any) -> int:
        return self.manage_existing_get_size(snapshot, existing_ref)

    def manage_existing_snapshot(self, snapshot: Any, existing_ref: Any) -> None:
        os.rename(self._named(existing_ref), self._path(snapshot))

    def unmanage_snapshot(self, snapshot: Any) -> None:
        pass

    def retype(
        self, context: Any, volume: Any, new_type: Any, diff: Any, host: Any
    ) -> tuple[bool, None]:
        return True, None

    def _path(self, resource: Any) -> str:
        return os.path.join(self._place, resource.name)

    def _named(self, reference: dict[str, str]) -> str:
        path = os.path.join(self._place, reference.get("source-name", "?"))
        if not os.path.exists(path):
            raise exception.ManageExistingInvalidReference(
                existing_ref=reference, reason="there is no such file"
            )
        return path

    def _sized(self, volume: Any) -> None:
        with open(self._path(volume), "ab") as file:
            file.truncate(volume.size * GIB)

    def _copied(self, source: Any, target: Any) -> None:
        command = ["cp", "--sparse=always", self._path(source), self._path(target)]
        subprocess.run(command, check=True)

    def _gone(self, resource: Any) -> None:
        shutil.rmtree(self._path(resource), ignore_errors=True)
        if os.path.exists(self._path(resource)):
            os.unlink(self._path(resource))
