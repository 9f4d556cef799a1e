# SPDX-License-Identifier: Apache-2.0
"""A private Barbican in a Python environment of its own, with its rights and access lists."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import urllib.error
import urllib.request
import venv
from pathlib import Path
from typing import Any, ClassVar

from tests.installation import installed, python_place_of
from tests.servers.keys import serve_barbican
from tests.servers.process import Process
from tests.servers.server import Server

VERSION = "23.0.0"
_PACKAGES = (f"barbican=={VERSION}", "pecan", "microversion-parse", "logutils", "PasteDeploy")
_INSTALL_TIMEOUT = 300.0  # seconds; it comes from the package index
_ANSWER_TIMEOUT = 30.0

_CONF = """\
[DEFAULT]
db_auto_create = true
host_href = http://127.0.0.1:{port}
[database]
connection = sqlite:///{directory}/barbican.sqlite
[secretstore]
enabled_secretstore_plugins = store_crypto
[crypto]
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = {kek}
[queue]
enable = false
"""

_PASTE = """\
[composite:main]
use = egg:Paste#urlmap
/: versions
/v1: v1
[pipeline:versions]
pipeline = microversion versionapp
[pipeline:v1]
pipeline = tokens context microversion apiapp
[app:apiapp]
paste.app_factory = barbican.api.app:create_main_app
[app:versionapp]
paste.app_factory = barbican.api.app:create_version_app
[filter:context]
paste.filter_factory = barbican.api.middleware.context:ContextMiddleware.factory
[filter:microversion]
paste.filter_factory = barbican.api.middleware.microversion:MicroversionMiddleware.factory
[filter:tokens]
paste.filter_factory = serve_barbican:tokens
"""


def token(user: str, project: str, *roles: str) -> str:
    """Return the token of a user, who is a member unless roles are given."""
    return f"{user}:{project}:{','.join(roles or ('member',))}"


class Barbican(Server):
    """One Barbican on a port of the loopback device; see :func:`token`."""

    name: ClassVar[str] = "Barbican"
    programs: ClassVar[tuple[str, ...]] = ()

    @property
    def url(self) -> str:
        """The value of ``[barbican] barbican_endpoint``."""
        return f"http://127.0.0.1:{self.port}"

    @classmethod
    def missing(cls) -> list[str]:
        """Install it, once for this Python environment; return the packages that could not be."""
        return [] if installed(cls._place(), cls._install) else [f"barbican=={VERSION}"]

    def secrets(self, project: str) -> dict[str, str]:
        """Return the names of the secrets of a project by their ids."""
        found: dict[str, str] = {}
        while True:
            page = self.ask(token("reader", project), "GET", f"secrets?offset={len(found)}")
            for one in page["secrets"]:
                found[one["secret_ref"].rpartition("/")[2]] = one["name"]
            if not page["secrets"]:
                return found

    def payload(self, project: str, key_id: str) -> bytes:
        """Return the bytes of a secret, as a member of its project reads them."""
        path = f"secrets/{key_id}/payload"
        return bytes(self._open(token("reader", project), "GET", path, "application/octet-stream"))

    def store(self, project: str, data: bytes, user: str = "user", algorithm: str = "aes") -> str:
        """Store a symmetric key as the API does, and return its id."""
        facts = {
            "payload": base64.b64encode(data).decode(),
            "payload_content_type": "application/octet-stream",
            "payload_content_encoding": "base64",
            "secret_type": "symmetric",
            "algorithm": algorithm,
            "bit_length": len(data) * 8,
        }
        found = self.ask(token(user, project), "POST", "secrets", facts)
        return str(found["secret_ref"]).rpartition("/")[2]

    def delete(self, project: str, key_id: str) -> None:
        """Delete a secret, as a member of its project."""
        self._open(token("user", project), "DELETE", f"secrets/{key_id}", "application/json")

    def ask(self, auth: str, method: str, path: str, facts: Any = None) -> Any:
        """Return the JSON of an answer."""
        return json.loads(self._open(auth, method, path, "application/json", facts) or b"null")

    def _open(self, auth: str, method: str, path: str, accept: str, facts: Any = None) -> bytes:
        headers = {"X-Auth-Token": auth, "Accept": accept, "Content-Type": "application/json"}
        data = None if facts is None else json.dumps(facts).encode()
        request = urllib.request.Request(
            f"{self.url}/v1/{path}", data=data, headers=headers, method=method
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT) as answer:
            return bytes(answer.read())

    def _answers(self, process: Process) -> bool:
        if not super()._answers(process):
            return False
        try:
            self.ask(token("reader", "nobody"), "GET", "secrets")
        except (OSError, urllib.error.URLError):
            return False
        return True

    def _prepare(self) -> None:
        kek = base64.b64encode(bytes(range(32))).decode()
        home = self.directory / ".barbican"
        home.mkdir()
        known = {"port": self.port, "directory": self.directory, "kek": kek}
        (home / "barbican.conf").write_text(_CONF.format(**known))
        (self.directory / "paste.ini").write_text(_PASTE)

    def _run(self, log: Path) -> Process:
        script = Path(serve_barbican.__file__)
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        env |= {"HOME": str(self.directory), "PYTHONPATH": str(script.parent)}
        argv = [str(self._place() / "bin" / "python"), str(script), str(self.port)]
        return Process(
            [*argv, str(self.directory / "paste.ini")], log=log, env=env, cwd=self.directory
        )

    @classmethod
    def _install(cls) -> None:
        venv.create(cls._place(), with_pip=True)
        command = [str(cls._place() / "bin" / "python"), "-m", "pip", "install", "-q"]
        command += ["--no-compile", *_PACKAGES]
        subprocess.run(command, check=True, timeout=_INSTALL_TIMEOUT, capture_output=True)

    @staticmethod
    def _place() -> Path:
        return python_place_of(f"barbican-{VERSION}")
