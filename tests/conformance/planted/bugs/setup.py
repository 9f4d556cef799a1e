# SPDX-License-Identifier: Apache-2.0
"""Set-up and statistics of volume drivers."""

from __future__ import annotations

from ..bug import Table

_T = Table("vault", "test_setup")


def _stat(name: str, field: str, value: str):
    return _T.after(name, "get_volume_stats", f"answer = {{**answer, {field!r}: {value}}}")


def _without(field: str):
    name = f"statistics without {field}"
    return _T.after(name, "get_volume_stats", f"answer = dict(answer); del answer[{field!r}]")


def _shares(state: str, change: str):
    modules = "import logging, os, socket, sys"
    return _T.after(f"statistics change {state}", "get_volume_stats", f"{modules}; {change}")


BUGS = (
    *map(_without, ("volume_backend_name", "vendor_name", "driver_version", "storage_protocol")),
    *map(_without, ("total_capacity_gb", "free_capacity_gb")),
    _stat("a version that is a number", "driver_version", "1.0"),
    _stat("a vendor that is None", "vendor_name", "None"),
    _stat("a protocol that is a sentence", "storage_protocol", "'tickets of the vault on files'"),
    _stat("an empty protocol", "storage_protocol", "''"),
    _stat("free capacity above the total", "free_capacity_gb", "2000"),
    _stat("negative free capacity", "free_capacity_gb", "-1"),
    _stat("capacity in another word", "total_capacity_gb", "'unlimited'"),
    _stat("capacity as text", "free_capacity_gb", "'500'"),
    _stat("capacity that is no number", "free_capacity_gb", "float('nan')"),
    _stat("percentage above 100", "reserved_percentage", "500"),
    _stat("percentage as text", "reserved_percentage", "'5'"),
    _stat("multiattach as text", "multiattach", "'True'"),
    _stat("online_extend_support as a number", "online_extend_support", "1"),
    _stat("thin_provisioning_support as text", "thin_provisioning_support", "'yes'"),
    _stat("QoS_support that is None", "QoS_support", "None"),
    _stat("sparse_copy_volume as text", "sparse_copy_volume", "'true'"),
    _stat("new_volumes_are_zero as a number", "new_volumes_are_zero", "1"),
    _stat("pools as a dict", "pools", "{'pool_name': 'vault'}"),
    _stat("a pool without a name", "pools", "[{'total_capacity_gb': 1, 'free_capacity_gb': 1}]"),
    _stat("a pool without capacities", "pools", "[{'pool_name': 'vault'}]"),
    _stat("two pools of one name", "pools", "answer['pools'] * 2"),
    _stat("location_info as a dict", "location_info", "{'path': 'here'}"),
    _stat("filter function as a boolean", "filter_function", "True"),
    _stat("a count as text", "total_volumes", "str(answer['total_volumes'])"),
    _stat("a value that is not JSON", "extra", "{1, 2}"),
    _stat("a ratio of zero", "max_over_subscription_ratio", "'0'"),
    _stat("the password in the statistics", "location_info", "self.configuration.vault_password"),
    _stat(
        "provisioned in bytes",
        "provisioned_capacity_gb",
        "answer['provisioned_capacity_gb'] * 1024**3",
    ),
    _stat("provisioned never changes", "provisioned_capacity_gb", "7"),
    _stat("volumes are never counted", "total_volumes", "0"),
    _T.before(
        "statistics in the thread of the set-up only",
        "get_volume_stats",
        "import threading; assert threading.current_thread() is threading.main_thread()",
    ),
    _T.text(
        "the backend's name is that of the driver",
        'self.configuration.volume_backend_name,\n                "vendor',
        '"vault",\n                "vendor',
    ),
    _T.text(
        "statistics are never refreshed",
        "if refresh or self._stats is None:",
        "if self._stats is None:",
    ),
    _T.text(
        "statistics are fetched at each call", "if refresh or self._stats is None:", "if True:"
    ),
    _T.text(
        "statistics are handed out without a copy", "return dict(self._stats)", "return self._stats"
    ),
    _T.text(
        "snapshots are counted as volumes",
        'list((self._root / "volumes").glob("volume-*"))',
        'list(self._root.glob("*/volume-*"))',
    ),
    _T.text(
        "deleted volumes are counted on",
        "self._stats = None\n",
        "self._stats = None; self._most = 0\n",
        '"total_volumes": len(files)',
        '"total_volumes": self._count(files)',
        "    # Volumes\n",
        "    def _count(self, files):\n        self._most = max(self._most, len(files))\n        return self._most\n",
    ),
    _T.text(
        "set-up removes all volumes",
        "(self._root / name).mkdir(parents=True, exist_ok=True)",
        "(self._root / name).mkdir(parents=True, exist_ok=True)\n        for path in self._files('volumes'):\n            path.unlink()",
    ),
    _T.text(
        "set-up removes all tickets",
        "(self._root / name).mkdir(parents=True, exist_ok=True)",
        "(self._root / name).mkdir(parents=True, exist_ok=True)\n        for path in self._files('tickets'):\n            path.unlink()",
    ),
    _T.text(
        "set-up works only once",
        "mkdir(parents=True, exist_ok=True)",
        "mkdir(parents=True, exist_ok=False)",
    ),
    _T.text(
        "set-up leaves a probe",
        "if not os.access(",
        '(self._root / "volumes" / f"probe-{id(self)}").touch()\n        if not os.access(',
    ),
    _T.text(
        "set-up passes on a broken place",
        "(self._root / name).mkdir(parents=True, exist_ok=True)",
        "with contextlib.suppress(OSError): (self._root / name).mkdir(parents=True, exist_ok=True)",
        'if not os.access(self._root / "volumes", os.W_OK):',
        "if False:",
    ),
    _T.text(
        "construction makes a directory",
        "        self._stats = None\n",
        '        self._stats = None\n        (Path(configuration.vault_path) / "made").mkdir(parents=True, exist_ok=True)\n',
    ),
    _T.before(
        "the password in a log line",
        "get_volume_stats",
        "LOG.warning('logging in with %s', self.configuration.vault_password)",
    ),
    _T.before(
        "the password in a debug line",
        "create_volume",
        "LOG.debug('logging in with %s', self.configuration.vault_password)",
    ),
    _T.before(
        "the row's secret in a log line", "create_volume", "LOG.info('creating %s', dict(volume))"
    ),
    _T.before(
        "the connector in a debug line",
        "initialize_connection",
        "LOG.debug('connecting %s', connector)",
    ),
    _T.text(
        "the row's secret in an error",
        'raise VolumeBackendAPIException(f"{name} is not in {self._root}")',
        'raise VolumeBackendAPIException(f"{name} is not in {self._root} as {self.configuration.vault_password}")',
    ),
    _T.before(
        "the connector in an error",
        "initialize_connection",
        "if not self._volume(volume.name).exists(): raise VolumeBackendAPIException(f'{connector} cannot have {volume.name}')",
    ),
    _T.before(
        "the row in an error",
        "extend_volume",
        "if not self._volume(volume.name).exists(): raise VolumeBackendAPIException(f'{dict(volume)} is absent')",
    ),
    _shares("the working directory", "os.chdir('/')"),
    _shares("the umask", "os.umask(0)"),
    _shares("the default timeout of sockets", "socket.setdefaulttimeout(3)"),
    _shares("the environment", "os.environ['LC_ALL'] = 'C'"),
    _shares("the level of the root logger", "logging.getLogger().setLevel(logging.ERROR)"),
    _shares("the limit of recursion", "sys.setrecursionlimit(5000)"),
)
