# SPDX-License-Identifier: Apache-2.0
"""A small volume driver that keeps the whole contract: files, reached with tickets.

A consumer reaches a volume with a ticket, a file that names it; a ticket that was removed
opens nothing. So access that stays, or that leads to another volume, can be seen.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from pathlib import Path

from oslo_config import cfg

from drivers.interface.errors import (
    DriverError,
    InvalidConnectorException,
    ManageExistingInvalidReference,
    ManageExistingVolumeTypeMismatch,
    SnapshotIsBusy,
    VolumeBackendAPIException,
    VolumeIsBusy,
)
from drivers.interface.group import VolumeConsistencyGroupDriver
from drivers.interface.listing import page
from drivers.interface.manage import VolumeManagementDriver
from drivers.interface.snapshot import VolumeSnapshotManagementDriver
from drivers.interface.volume import VolumeDriver

LOG = logging.getLogger(__name__)
GIB = 1024**3
BLOCK = 65536
FOLDERS = ("volumes", "snapshots", "tickets", "exports", "locks")


class VaultDriver(
    VolumeDriver,
    VolumeManagementDriver,
    VolumeSnapshotManagementDriver,
    VolumeConsistencyGroupDriver,
):
    OPTS = [
        cfg.StrOpt("vault_path", default="$state_path/vault", help="Directory of everything."),
        cfg.StrOpt("vault_password", default="", secret=True, help="Password of the vault."),
    ]

    def __init__(self, configuration, *, host, **_):
        super().__init__(configuration, host=host)
        self._stats = None

    def do_setup(self, context):
        self._root = Path(self.configuration.vault_path)
        for name in FOLDERS:
            (self._root / name).mkdir(parents=True, exist_ok=True)

    def check_for_setup_error(self):
        if not os.access(self._root / "volumes", os.W_OK):
            raise VolumeBackendAPIException(f"vault_path = {self._root} cannot be written")

    def get_volume_stats(self, refresh=False):
        if refresh or self._stats is None:
            files = list((self._root / "volumes").glob("volume-*"))
            self._stats = {
                "volume_backend_name": self.configuration.volume_backend_name,
                "vendor_name": "Vault",
                "driver_version": "1.0",
                "storage_protocol": "vault",
                "total_capacity_gb": 1000,
                "free_capacity_gb": 500.5,
                "reserved_percentage": self.configuration.reserved_percentage,
                "provisioned_capacity_gb": sum(file.stat().st_size for file in files) / GIB,
                "max_over_subscription_ratio": "20.0",
                "thin_provisioning_support": True,
                "thick_provisioning_support": False,
                "total_volumes": len(files),
                "multiattach": True,
                "online_extend_support": True,
                "sparse_copy_volume": True,
                "new_volumes_are_zero": True,
                "location_info": f"vault:{self._root}",
                "QoS_support": False,
                "filter_function": "capabilities.total_volumes < 1000",
                "goodness_function": None,
                "pools": [
                    {"pool_name": "vault", "total_capacity_gb": 1000, "free_capacity_gb": 500}
                ],
            }
        return dict(self._stats)

    # Volumes

    def create_volume(self, volume):
        with self._locked(volume.name):
            self._require_unused(volume)
            new = self._new(volume.name)
            new.unlink(missing_ok=True)
            with new.open("wb") as file:
                file.truncate(volume.size * GIB)
            new.rename(self._volume(volume.name))
        return {"provider_location": f"vault:{volume.name}"}

    def delete_volume(self, volume):
        with self._locked(volume.name):
            self._require_unused(volume)
            if self._snapshots_of(volume.name):
                raise VolumeIsBusy(f"volume {volume.id} has snapshots: delete them first")
            self._new(volume.name).unlink(missing_ok=True)
            self._volume(volume.name).unlink(missing_ok=True)
        self._lock_file(volume.name).unlink(missing_ok=True)

    def extend_volume(self, volume, new_size):
        with self._locked(volume.name):
            path = self._existing(volume.name)
            if path.stat().st_size < new_size * GIB:
                os.truncate(path, new_size * GIB)

    def create_cloned_volume(self, volume, src_vref):
        self._require_unused(volume)
        with self._locked(src_vref.name):
            self._copy(self._existing(src_vref.name), self._volume(volume.name), volume.size * GIB)
        return {"provider_location": f"vault:{volume.name}"}

    def create_volume_from_snapshot(self, volume, snapshot):
        self._require_unused(volume)
        source = self._existing_snapshot(snapshot)
        self._copy(source, self._volume(volume.name), volume.size * GIB)
        return {"provider_location": f"vault:{volume.name}"}

    def revert_to_snapshot(self, context, volume, snapshot):
        with self._locked(volume.name):
            self._require_unused(volume)
            size = self._existing(volume.name).stat().st_size
            self._copy(self._existing_snapshot(snapshot), self._volume(volume.name), size)

    def snapshot_revert_use_temp_snapshot(self):
        return False

    # Snapshots

    def create_snapshot(self, snapshot):
        with self._locked(snapshot.volume_name):
            source, target = self._existing(snapshot.volume_name), self._snapshot(snapshot)
            if not target.exists():
                self._copy(source, target, source.stat().st_size)
        return {"provider_location": f"vault:{snapshot.name}"}

    def delete_snapshot(self, snapshot):
        if any(self._tickets(snapshot.name)):
            raise SnapshotIsBusy(f"snapshot {snapshot.id} is being read")
        self._new(self._snapshot(snapshot).name).unlink(missing_ok=True)
        self._snapshot(snapshot).unlink(missing_ok=True)

    def changed_extents(self, source, since):
        path = (
            self._existing_snapshot(source)
            if source.kind == "snapshot"
            else self._existing(source.name)
        )
        return _differences(path, self._existing_snapshot(since))

    # Exports and connections

    def validate_connector(self, connector):
        if not connector.get("host"):
            raise InvalidConnectorException("the connector has no host")

    def create_export(self, context, volume, connector):
        self._existing(volume.name)
        (self._root / "exports" / volume.name).touch()
        return {"provider_location": f"vault:{volume.name}"}

    def ensure_export(self, context, volume):
        return self.create_export(context, volume, None)

    def remove_export(self, context, volume):
        for ticket in self._tickets(volume.name):
            ticket.unlink(missing_ok=True)
        (self._root / "exports" / volume.name).unlink(missing_ok=True)

    def initialize_connection(self, volume, connector, initiator_data=None):
        path = self._existing(volume.name)
        ticket = self._ticket(volume.name, connector)
        self._write(ticket, {"path": str(path), "host": connector["host"]})
        data = {"ticket": str(ticket), "access_mode": "rw"}
        return {
            "driver_volume_type": "vault",
            "data": data,
            "initiator_updates": {"set_values": {"last": volume.name}},
        }

    def terminate_connection(self, volume, connector):
        if connector is None:
            for ticket in self._tickets(volume.name):
                ticket.unlink(missing_ok=True)
        else:
            self._ticket(volume.name, connector).unlink(missing_ok=True)
        return any(self._tickets(volume.name))

    def create_export_snapshot(self, context, snapshot, connector):
        self._existing_snapshot(snapshot)

    def remove_export_snapshot(self, context, snapshot):
        for ticket in self._tickets(snapshot.name):
            ticket.unlink(missing_ok=True)

    def initialize_connection_snapshot(self, snapshot, connector):
        path = self._existing_snapshot(snapshot)
        ticket = self._ticket(snapshot.name, connector)
        self._write(ticket, {"path": str(path), "host": connector["host"]})
        return {"driver_volume_type": "vault", "data": {"ticket": str(ticket), "access_mode": "ro"}}

    def terminate_connection_snapshot(self, snapshot, connector):
        if connector is None:
            self.remove_export_snapshot(None, snapshot)
        else:
            self._ticket(snapshot.name, connector).unlink(missing_ok=True)

    def get_pool(self, volume):
        return "vault"

    def copy_image_to_volume(self, context, volume, image_service, image_id):
        with self._locked(volume.name):
            path = self._existing(volume.name)
            size = path.stat().st_size
            image_service.show(context, image_id)
            os.truncate(path, 0)
            with path.open("r+b") as file:
                for chunk in image_service.download(context, image_id):
                    file.write(chunk)
            os.truncate(path, size)
        return {"metadata": {"image": str(image_id)}}

    def copy_volume_to_image(self, context, volume, image_service, image_meta):
        with self._existing(volume.name).open("rb") as file:
            image_service.update(context, image_meta["id"], {}, file)

    # Types and places

    def retype(self, context, volume, new_type, diff, host):
        return not diff.get("encryption"), None

    def migrate_volume(self, context, volume, host):
        capabilities = host.get("capabilities") or {}
        return capabilities.get("location_info") == f"vault:{self._root}", None

    def update_provider_info(self, volumes, snapshots):
        entries = [{"id": one.id, "provider_location": f"vault:{one.name}"} for one in volumes]
        return entries, None

    def accept_transfer(self, context, volume, new_user, new_project):
        return None

    # Management

    def manage_existing_get_size(self, volume, existing_ref):
        return _gib(self._referenced("volumes", existing_ref, volume.name))

    def manage_existing(self, volume, existing_ref):
        path = self._referenced("volumes", existing_ref, volume.name)
        specs = (volume.volume_type or {}).get("extra_specs") or {}
        wanted = specs.get("volume_backend_name")
        if wanted not in (None, self.configuration.volume_backend_name):
            raise ManageExistingVolumeTypeMismatch(f"the type of {volume.id} wants {wanted}")
        path.rename(self._volume(volume.name))
        os.truncate(self._volume(volume.name), _gib(self._volume(volume.name)) * GIB)
        return {"provider_location": f"vault:{volume.name}"}

    def unmanage(self, volume):
        """The file keeps its name."""

    def get_manageable_volumes(self, cinder_volumes, marker, limit, offset, sort_keys, sort_dirs):
        owners = {volume.name: volume.id for volume in cinder_volumes}
        entries = [self._entry(path, owners.get(path.name)) for path in self._files("volumes")]
        return page(entries, marker, limit, offset, sort_keys, sort_dirs)

    def manage_existing_snapshot_get_size(self, snapshot, existing_ref):
        return _gib(self._referenced("snapshots", existing_ref, self._snapshot(snapshot).name))

    def manage_existing_snapshot(self, snapshot, existing_ref):
        target = self._snapshot(snapshot)
        self._referenced("snapshots", existing_ref, target.name).rename(target)
        return {"provider_location": f"vault:{snapshot.name}"}

    def unmanage_snapshot(self, snapshot):
        path = self._snapshot(snapshot)
        if path.exists():
            path.rename(path.with_name(f"unmanaged-{path.name}"))

    def get_manageable_snapshots(
        self, cinder_snapshots, marker, limit, offset, sort_keys, sort_dirs
    ):
        owners = {self._snapshot(snapshot).name: snapshot.id for snapshot in cinder_snapshots}
        entries = []
        for path in self._files("snapshots"):
            source = path.name.removeprefix("unmanaged-").partition("@")[0]
            entry = self._entry(path, owners.get(path.name))
            entries.append({**entry, "source_reference": {"source-name": source}})
        return page(entries, marker, limit, offset, sort_keys, sort_dirs)

    # Groups

    def create_consistencygroup(self, context, group):
        return {"status": "available"}

    def create_consistencygroup_from_src(
        self,
        context,
        group,
        volumes,
        cgsnapshot=None,
        snapshots=None,
        source_cg=None,
        source_vols=None,
    ):
        made = []
        try:
            for volume, source in zip(volumes, snapshots or source_vols, strict=True):
                made.append(volume)
                if snapshots:
                    self.create_volume_from_snapshot(volume, source)
                else:
                    self.create_cloned_volume(volume, source)
        except Exception:
            for volume in made:
                self.delete_volume(volume)
            raise
        return None, None

    def delete_consistencygroup(self, context, group, volumes):
        entries = []
        for volume in volumes:
            try:
                self.delete_volume(volume)
                entries.append({"id": volume.id, "status": "deleted"})
            except DriverError:
                entries.append({"id": volume.id, "status": "error_deleting"})
        failed = any(entry["status"] == "error_deleting" for entry in entries)
        return {"status": "error_deleting" if failed else "deleted"}, entries

    def update_consistencygroup(self, context, group, add_volumes=None, remove_volumes=None):
        for volume in [*(add_volumes or ()), *(remove_volumes or ())]:
            self._existing(volume.name)
        return None, None, None

    def create_cgsnapshot(self, context, cgsnapshot, snapshots):
        with contextlib.ExitStack() as stack:
            for name in sorted({snapshot.volume_name for snapshot in snapshots}):
                stack.enter_context(self._locked(name))
            is_done = all(self._snapshot(one).exists() for one in snapshots)
            new = [] if is_done else snapshots
            try:
                for snapshot in new:
                    source = self._existing(snapshot.volume_name)
                    self._copy(source, self._snapshot(snapshot), source.stat().st_size)
            except Exception:
                for snapshot in new:
                    self.delete_snapshot(snapshot)
                raise
        return {"status": "available"}, [{"id": one.id, "status": "available"} for one in snapshots]

    def delete_cgsnapshot(self, context, cgsnapshot, snapshots):
        for snapshot in snapshots:
            self.delete_snapshot(snapshot)
        return {"status": "deleted"}, [{"id": one.id, "status": "deleted"} for one in snapshots]

    # Files

    def _volume(self, name):
        return self._root / "volumes" / name

    def _snapshot(self, snapshot):
        return self._root / "snapshots" / f"{snapshot.volume_name}@{snapshot.name}"

    def _new(self, name):
        folder = "snapshots" if "@" in name else "volumes"
        return self._root / folder / f".new-{name}"

    def _existing(self, name):
        path = self._volume(name)
        if not path.exists():
            raise VolumeBackendAPIException(f"{name} is not in {self._root}")
        return path

    def _existing_snapshot(self, snapshot):
        path = self._snapshot(snapshot)
        if not path.exists():
            raise VolumeBackendAPIException(f"snapshot {snapshot.name} is not in {self._root}")
        return path

    def _snapshots_of(self, name):
        return list((self._root / "snapshots").glob(f"{name}@*"))

    def _files(self, folder):
        return [path for path in (self._root / folder).iterdir() if not path.name.startswith(".")]

    def _require_unused(self, volume):
        exported = (self._root / "exports" / volume.name).exists()
        if exported or any(self._tickets(volume.name)):
            raise VolumeIsBusy(f"volume {volume.id} is attached: detach it first")

    def _ticket(self, name, connector):
        host = hashlib.sha256(connector["host"].encode()).hexdigest()[:12]
        return self._root / "tickets" / f"{name}#{host}"

    def _tickets(self, name):
        return list((self._root / "tickets").glob(f"{name}#*"))

    def _write(self, path, values):
        new = path.with_name(f".new-{path.name}")
        new.write_text(json.dumps(values))
        new.rename(path)

    def _lock_file(self, name):
        return self._root / "locks" / name

    @contextlib.contextmanager
    def _locked(self, name):
        """Keep consumers from writing to a volume, and other calls from it."""
        with lock(self._root, name, fcntl.LOCK_EX):
            yield

    def _copy(self, source, target, size):
        """Copy the data of a file, without its holes; the target appears when it is whole."""
        if source.stat().st_size > size:
            raise VolumeBackendAPIException(f"{source.name} does not fit into {size} bytes")
        new = self._new(target.name)
        with source.open("rb") as old, new.open("wb") as file:
            for begin, end in _data(old.fileno()):
                old.seek(begin)
                file.seek(begin)
                while begin < end:
                    chunk = old.read(min(BLOCK, end - begin))
                    file.write(chunk)
                    begin += len(chunk)
            file.truncate(size)
            file.flush()
        new.rename(target)

    def _referenced(self, folder, ref, target):
        name = ref.get("source-name")
        if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
            raise ManageExistingInvalidReference(f"{dict(ref)} names no file in {folder}")
        found = self._root / folder / name
        if not found.is_file():
            found = self._root / folder / target
        if not found.is_file():
            raise ManageExistingInvalidReference(f"{name} is not in {folder} of {self._root}")
        return found

    def _entry(self, path, owner):
        return {
            "reference": {"source-name": path.name},
            "size": _gib(path),
            "safe_to_manage": owner is None,
            "reason_not_safe": "already managed" if owner else None,
            "cinder_id": owner,
            "extra_info": None,
        }


@contextlib.contextmanager
def lock(root, name, kind):
    """Hold the lock of a volume; a lock file that was removed meanwhile is none."""
    path = root / "locks" / name
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, kind)
            try:
                is_there = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except FileNotFoundError:
                is_there = False
            if is_there:
                yield
                return


def _gib(path):
    return max(1, -(-path.stat().st_size // GIB))


def _data(fd):
    end, size = 0, os.fstat(fd).st_size
    while end < size:
        try:
            begin = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(fd, begin, os.SEEK_HOLE)
        yield begin, end


def _differences(path, older):
    found = []
    with path.open("rb") as new, older.open("rb") as old:
        blocks = set()
        for file in (new, old):
            for begin, end in _data(file.fileno()):
                blocks.update(range(begin // BLOCK, -(-end // BLOCK)))
        for block in sorted(blocks):
            contents = []
            for file in (new, old):
                file.seek(block * BLOCK)
                contents.append(file.read(BLOCK))
            if contents[0] != contents[1]:
                found.append((block * BLOCK, (block + 1) * BLOCK))
    return found
