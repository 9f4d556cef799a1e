# SPDX-License-Identifier: Apache-2.0
"""Find files with passwords or private keys that every user of this host can read."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from oslo_config import cfg

from drivers.compat import oslo_config
from worker.conf.check.config_files import ConfigEntry, ConfigFiles
from worker.conf.check.problems import Problem

_SECRET_NAME = re.compile(r"password|passwd|secret|token|_key$|^key$|san_private_key$")
_PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]+@")
_KEY_FILE = re.compile(
    r"^(ssl_key_file|tls_key_file|token_file|keyfile|key_file|san_private_key|\w*_ssl_key\w*)$"
)
_KEY_IN_URL = re.compile(r"[?&](?:ssl_key|sslkey|ssl-key)=([^&\s]+)")
_NBD_TLS, _NBD_KEY = "local_nbd_tls", "server-key.pem"


def faults(conf: cfg.ConfigOpts, found: ConfigFiles) -> list[Problem]:
    """Return a warning for each such file, at the first assignment that is concerned."""
    secrets = {option.dest for _, option in oslo_config.registered(conf) if option.secret}
    warned: dict[str, Problem] = {}
    for entry in found.entries:
        if entry.option is None or not entry.value:
            continue
        if _has_password(entry, secrets):
            _warn(warned, entry, entry.file, "a password")
        for file in _key_files(entry):
            kind = "the token" if entry.option == "token_file" else "the private key"
            _warn(warned, entry, file, kind)
    return list(warned.values())


def is_world_readable(file: str) -> bool:
    """Return whether the modes of a file and of its directories let every user read it."""
    try:
        real = Path(file).resolve(strict=True)
        if not real.stat().st_mode & stat.S_IROTH:
            return False
        return all(place.stat().st_mode & stat.S_IXOTH for place in real.parents)
    except OSError:
        return False


def _warn(warned: dict[str, Problem], entry: ConfigEntry, file: str, subject: str) -> None:
    if file not in warned and is_world_readable(file):
        text = f"every user of this host can read {subject}: chmod o-rwx {file}"
        place = entry.file, entry.line, entry.section, entry.option
        warned[file] = Problem(*place, text, fatal=False)


def _has_password(entry: ConfigEntry, secrets: set[str]) -> bool:
    name = str(entry.option).replace("-", "_")
    if _PASSWORD_IN_URL.search(entry.value):
        return True
    if _KEY_FILE.search(name) or os.path.isabs(entry.value) or "://" in entry.value:
        return False
    return name in secrets or bool(_SECRET_NAME.search(name))


def _key_files(entry: ConfigEntry) -> Iterator[str]:
    if _KEY_FILE.search(str(entry.option)):
        yield entry.value
    elif entry.option == _NBD_TLS:
        yield os.path.join(entry.value, _NBD_KEY)
    yield from _KEY_IN_URL.findall(entry.value)
