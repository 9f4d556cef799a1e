# SPDX-License-Identifier: Apache-2.0
"""A small export driver that keeps the whole contract: a pass for each consumer."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from pathlib import Path

from oslo_config import cfg

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.export import ExportDriver


class GateExport(ExportDriver):
    OPTS = [cfg.StrOpt("gate_path", default="$state_path/gate", help="Directory of the passes.")]
    protocol = "gate"
    multiattach = True
    online_extend_support = True

    def __init__(self, configuration):
        self._root = Path(configuration.gate_path)

    def check(self):
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VolumeBackendAPIException(f"{self._root}: {error.strerror}") from error

    def ensure(self, name, path, *, read_only=False):
        gate = self._gate(name, read_only)
        if not Path(path).is_file():
            raise VolumeBackendAPIException(f"{path} is no file")
        self._write(gate, {"path": path})

    def is_up(self, name):
        return any(self._gate(name, kind).exists() for kind in (False, True))

    def noted(self, name):
        return [kind for kind in (False, True) if self._passes(name, kind)]

    def connect(self, name, who, *, read_only=False):
        gate = self._gate(name, read_only)
        if not gate.exists():
            raise VolumeBackendAPIException(f"{name} is not served")
        one = self._pass(name, read_only, who)
        self._write(one, {"gate": str(gate), "mode": "ro" if read_only else "rw"})
        return {"pass": str(one)}

    def disconnect(self, name, who):
        for kind in (False, True):
            had = self._passes(name, kind)
            for one in had if who is None else [self._pass(name, kind, who)]:
                one.unlink(missing_ok=True)
            if not self._passes(name, kind) and (had or who is None):
                self._gate(name, kind).unlink(missing_ok=True)

    def remove(self, name):
        for kind in (False, True):
            for one in self._passes(name, kind):
                one.unlink(missing_ok=True)
            self._gate(name, kind).unlink(missing_ok=True)
            self._hold(name).unlink(missing_ok=True)
            for new in self._root.glob(f".new-{self._gate(name, kind).name}*"):
                new.unlink(missing_ok=True)

    def grown(self, name, path):
        """Each read and write looks at the file itself."""

    @contextlib.contextmanager
    def held(self, names):
        with contextlib.ExitStack() as stack:
            for name in sorted(names):
                if self.is_up(name):
                    file = stack.enter_context(self._hold(name).open("ab"))
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _gate(self, name, read_only):
        if "/" in name or name.startswith("."):
            raise VolumeBackendAPIException(f"{name!r:.80} is no plain name")
        return self._root / f"{name}.{'ro' if read_only else 'rw'}"

    def _pass(self, name, read_only, who):
        key = hashlib.sha256(who.encode()).hexdigest()[:12]
        gate = self._gate(name, read_only)
        return gate.with_name(f"{gate.name}#{key}")

    def _passes(self, name, read_only):
        gate = self._gate(name, read_only)
        return list(self._root.glob(f"{gate.name}#*"))

    def _hold(self, name):
        return self._gate(name, False).with_name(f"{name}.hold")

    def _write(self, path, values):
        new = path.with_name(f".new-{path.name}")
        new.write_text(json.dumps(values))
        new.rename(path)
