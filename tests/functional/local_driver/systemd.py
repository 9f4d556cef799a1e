# SPDX-License-Identifier: Apache-2.0
"""A systemd of its own, in namespaces, with the units of this checkout and nothing else."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

from tests.servers import until

ROOT = Path(__file__).parents[3]
UNITS = ("holdfast-nbd.socket", "holdfast-nbd@.service", "holdfast-volume@.service")
SYSTEMD = "/lib/systemd/systemd"

_TARGETS = ("basic", "shutdown", "sockets", "sysinit")
_LEFT_OUT = re.compile(
    # The checkout lies in a temporary directory, and belongs to root.
    r"^(User|Group|StandardError|Socket(User|Group)|PrivateTmp|ProtectHome|\w+Directory(Mode)?)=.*\n",
    re.MULTILINE,
)
_BOOT = """\
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
for place in /etc /proc/sys; do
    mount --bind $place $place
    mount -o remount,ro,bind $place
done
umount -R /sys/fs/cgroup 2>/dev/null || true
if ! mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || [ -n "$HYBRID" ]; then
    umount /sys/fs/cgroup 2>/dev/null || true
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
fi
exec env container=lxc SYSTEMD_UNIT_PATH="$1" {systemd} --system --unit=basic.target
"""


_ENTER = """\
while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done
shift
exec "$@"
"""
"""Script that moves itself into control groups and becomes a command."""

_GROUPS = {"name=systemd": ("systemd",), "": ("unified", "")}
"""By their names in ``/proc/PID/cgroup``: the hierarchies that a systemd uses, and their places."""


def control_groups() -> list[Path]:
    """Return the control groups of this process in the hierarchies that a systemd uses."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, name, path = line.split(":", 2)
        places = [Path("/sys/fs/cgroup", one, path[1:]) for one in _GROUPS.get(name, ())]
        found += [place for place in places if (place / "cgroup.procs").exists()][:1]
    return found


class Systemd:
    """Runs units of this checkout, in control groups of its own: units of two have one name.

    :param directory: for the units; its path is short, and the units may write there.
    :param config: configuration file of the service.
    :param data: where the service writes.
    """

    def __init__(self, directory: Path, config: Path, data: Path) -> None:
        self._directory = directory
        self._data = data
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        name = f"holdfast-{uuid.uuid4().hex}"
        self.groups = [group / name for group in control_groups()]

    @staticmethod
    def missing() -> str | None:
        """Return why there can be none here."""
        if os.geteuid() != 0:
            return "only root makes namespaces"
        programs = (SYSTEMD, "unshare", "nsenter", "systemctl")
        absent = [name for name in programs if shutil.which(name) is None]
        return f"no {', '.join(absent)}" if absent else None

    def start(self) -> None:
        """Boot, up to basic.target."""
        units = self._directory / "units"
        units.mkdir()
        for target in _TARGETS:
            (units / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n")
        for name in UNITS:
            (units / name).write_text(self._adapted(name))
        hybrid = "1" if Path("/sys/fs/cgroup/unified").is_dir() else ""
        for group in self.groups:
            group.mkdir()
        command = ["/bin/sh", "-ec", _ENTER, "enter", *map(str, self.groups), "--"]
        command += ["unshare", "--mount", "--pid", "--ipc", "--uts", "--cgroup", "--fork"]
        command += ["--mount-proc", "--kill-child", "/bin/sh", "-c"]
        command += [_BOOT.format(systemd=SYSTEMD), "boot", str(units)]
        with (self._directory / "systemd.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "HYBRID": hybrid},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._booted, 60, "systemd")

    def ctl(self, *arguments: str) -> str:
        """Run systemctl and return its output."""
        done = self._entered("systemctl", *arguments)
        if done.returncode:
            logged = self._directory / "units.log"
            text = logged.read_text() if logged.exists() else ""
            raise RuntimeError(f"systemctl {' '.join(arguments)}: {done.stderr}{text}")
        return done.stdout

    def close(self) -> None:
        """End it and everything in it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)  # --kill-child
            self._process.wait()
            if self._pid:
                until(lambda: not Path(f"/proc/{self._pid}").exists(), 60, "systemd to end")
        for group in self.groups:
            until(lambda group=group: _is_removed(group), 60, f"the end of {group}")  # type: ignore[misc]

    def _booted(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self._directory / "systemd.log").read_text())
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        self._pid = int(children[0]) if children else 0
        return bool(children) and "active" in self._entered("systemctl", *_BASIC).stdout.split()

    def _entered(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--ipc", "--cgroup", *command],
            capture_output=True,
            text=True,
            check=False,
        )

    def _adapted(self, name: str) -> str:
        """Return a unit for this checkout: other paths, and no other user."""
        text = _LEFT_OUT.sub("", (ROOT / "etc/systemd" / name).read_text())
        text = text.replace("/run/holdfast-nbd.sock", f"{self._directory}/nbd.sock")
        python = shlex.quote(sys.executable)
        serve = f"{python} -m worker.cmd.volume --config-file {self._config} --backend %i"
        launch = f"{python} -c 'from drivers.export.launcher import main; raise SystemExit(main())'"
        started = launch if "nbd" in name else serve
        text = re.sub(r"^ExecStart=.*$", f"ExecStart={started}", text, flags=re.MULTILINE)
        places = f"{self._directory} {self._data}"
        more = f"Environment=PYTHONPATH={ROOT}\nReadWritePaths={places}\n"
        more += f"StandardError=append:{self._directory}/units.log\n"
        return text.replace("[Service]\n", f"[Service]\n{more}")


def _is_removed(group: Path) -> bool:
    """Remove a control group with those below it; return whether none has a process any more."""
    below = [Path(place) for place, _directories, _files in os.walk(group, topdown=False)]
    try:
        for one in below:
            one.rmdir()
    except OSError:
        return False
    return True


_BASIC = ("is-active", "basic.target")
