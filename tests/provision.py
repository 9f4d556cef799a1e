# SPDX-License-Identifier: Apache-2.0
"""Install the system packages that a test environment needs, or name them.

``python -m tests.provision functional`` reads the profiles of bindep.txt. As root,
or with a sudo that asks no password, missing packages are installed; otherwise the
packages are printed, and the exit status is 1. Packages are installed only: their
servers are not started, since the tests start private ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.installation import exclusively

ROOT = Path(__file__).parents[1]
POLICY = Path("/usr/sbin/policy-rc.d")  # Debian asks it before a package starts its server
NO_STARTS = "#!/bin/sh\nexit 101\n"
TRIES = 3  # a mirror may fail once
LOCK_TIMEOUT = 300  # seconds that apt waits for another apt
PROGRAMS = {"nodejs": "node", "npm": "npm"}
"""Packages in whose place people have programs of their own."""


def main(profiles: Sequence[str]) -> int:
    """Make the packages of these profiles available; return the exit status."""
    if not missing(profiles):
        return 0
    # Environments of "tox -p" come here together.
    with exclusively(Path(tempfile.gettempdir()) / f"holdfast-provision-{os.geteuid()}.lock"):
        return install(profiles)


def install(profiles: Sequence[str]) -> int:
    """Install the packages of these profiles that are still missing; return the exit status."""
    packages = missing(profiles)
    if not packages:
        return 0
    prefix = privilege()
    commands = installation(packages)
    if prefix is None or not commands:
        return refuse(packages, commands)
    print(f"installing {' '.join(packages)}", flush=True)
    with no_starts(prefix):
        done = all(run([*prefix, *command]) for command in commands)
    left = missing(profiles)
    if not done or left:
        return refuse(left or packages, commands)
    return 0


def missing(profiles: Sequence[str]) -> list[str]:
    """Return the packages of bindep.txt that are not installed."""
    done = subprocess.run(
        [sys.executable, "-m", "bindep", "--brief", *profiles],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    packages = done.stdout.split()
    if done.returncode and not packages:
        raise SystemExit("bindep could not tell which packages are missing; its text is above")
    return [package for package in packages if not _is_there_otherwise(package)]


def _is_there_otherwise(package: str) -> bool:
    """Check for a program from elsewhere: its package may conflict with it."""
    return package in PROGRAMS and shutil.which(PROGRAMS[package]) is not None


def privilege() -> list[str] | None:
    """Return how to become root, None if that is not possible without a password."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0:
        return [sudo, "-n"]
    return None


def installation(packages: Sequence[str]) -> list[list[str]]:
    """Return the commands by which this system installs packages, none if we know none."""
    if shutil.which("apt-get"):
        quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
        quiet += ["-o", f"DPkg::Lock::Timeout={LOCK_TIMEOUT}"]
        return [[*quiet, "update"], [*quiet, "install", "--no-install-recommends", *packages]]
    for tool in ("dnf", "yum"):
        if shutil.which(tool):
            return [[tool, "-q", "-y", "install", *packages]]
    return []


def refuse(packages: Sequence[str], commands: Sequence[Sequence[str]]) -> int:
    """Print the packages to install by hand."""
    command = commands[-1][2:] if commands and commands[-1][0] == "env" else (commands or [[]])[-1]
    print(f"missing system packages: {' '.join(packages)}", file=sys.stderr)
    if command:
        print(f"install them as root: {' '.join(command)}", file=sys.stderr)
    return 1


def run(command: Sequence[str]) -> bool:
    """Run a command, again if it fails; return whether it succeeded."""
    return any(subprocess.run(command, check=False).returncode == 0 for _ in range(TRIES))


@contextlib.contextmanager
def no_starts(prefix: Sequence[str]) -> Iterator[None]:
    """Keep packages from starting their servers while they are installed."""
    if POLICY.exists() or not shutil.which("dpkg"):
        yield
        return
    write = ["sh", "-c", 'printf %s "$1" > "$2" && chmod 755 "$2"', "sh", NO_STARTS, str(POLICY)]
    subprocess.run([*prefix, *write], check=True)
    try:
        yield
    finally:
        subprocess.run([*prefix, "rm", "-f", str(POLICY)], check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
