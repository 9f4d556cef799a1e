# SPDX-License-Identifier: Apache-2.0
"""A private Glance, in a Python environment of its own: it brings eventlet along."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path
from typing import ClassVar

from tests.installation import installed, python_place_of
from tests.servers.process import Process
from tests.servers.server import Server

VERSION = "33.0.0"
_PACKAGES = (f"glance=={VERSION}", "waitress==3.0.2")
_INSTALL_TIMEOUT = 300.0  # seconds; it comes from the package index

_CONFIG = """\
[DEFAULT]
enabled_backends = fs:file
show_multiple_locations = true
[database]
connection = sqlite:///{directory}/glance.sqlite
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = {directory}/images
[paste_deploy]
flavor =
config_file = {place}/etc/glance/glance-api-paste.ini
[oslo_policy]
enforce_scope = false
enforce_new_defaults = false
policy_file = {directory}/policy.yaml
[oslo_messaging_notifications]
driver = noop
"""

# Without Keystone a request has no role, and every rule wants one.
_RULES = (
    *("default", "add_image", "get_image", "get_images", "modify_image", "upload_image"),
    *("download_image", "delete_image", "publicize_image", "get_image_location"),
)

_SERVE = """\
import sys
from waitress import serve
sys.argv = ["glance-api", "--config-dir", sys.argv[1]]
from glance.wsgi.api import application
serve(application, host="127.0.0.1", port=int({port}), threads=4,
      max_request_body_size=1 << 40)
"""


class Glance(Server):
    """One Glance without Keystone, its images in files, on a port of the loopback device."""

    name: ClassVar[str] = "Glance"
    programs: ClassVar[tuple[str, ...]] = ()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def images(self) -> Path:
        """Where it keeps the data of images."""
        return self.directory / "images"

    @classmethod
    def missing(cls) -> list[str]:
        """Install it, once for this Python environment; return the packages that could not be."""
        return [] if installed(cls._place(), cls._install) else list(_PACKAGES)

    def _prepare(self) -> None:
        self.images.mkdir()
        settings = _CONFIG.format(directory=self.directory, place=self._place())
        (self.directory / "glance-api.conf").write_text(settings)
        rules = "".join(f'"{rule}": "@"\n' for rule in _RULES)
        (self.directory / "policy.yaml").write_text(rules)
        config = str(self.directory / "glance-api.conf")
        self._command(
            str(self._program("glance-manage")), "--config-file", config, "db_sync", env=self._env()
        )

    def _run(self, log: Path) -> Process:
        script = self.directory / "serve.py"
        script.write_text(_SERVE.format(port=self.port))
        command = [str(self._program("python")), str(script), str(self.directory)]
        return Process(command, log=log, env=self._env(), cwd=self.directory)

    def _env(self) -> dict[str, str]:
        directory = str(self.directory)
        ours = {"OS_GLANCE_CONFIG_DIR": directory, "OS_GLANCE_CONFIG_FILES": "glance-api.conf"}
        return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ours

    @classmethod
    def _install(cls) -> None:
        venv.create(cls._place(), with_pip=True)
        command = [str(cls._program("python")), "-m", "pip", "install", "-q"]
        command += ["--no-compile", *_PACKAGES]
        subprocess.run(command, check=True, timeout=_INSTALL_TIMEOUT, capture_output=True)

    @staticmethod
    def _place() -> Path:
        return python_place_of(f"glance-{VERSION}")

    @classmethod
    def _program(cls, name: str) -> Path:
        return cls._place() / "bin" / name
