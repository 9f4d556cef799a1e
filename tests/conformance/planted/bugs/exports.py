# SPDX-License-Identifier: Apache-2.0
"""Export drivers."""

from __future__ import annotations

from ..bug import Table

_T = Table("gate", "exports/test_exports")
_NEW = 'new = path.with_name(f".new-{path.name}")'

BUGS = (
    _T.text("no protocol", 'protocol = "gate"', "protocol = None"),
    _T.text("a long protocol", 'protocol = "gate"', 'protocol = "gate with a pass for each"'),
    _T.text("multiattach as text", "multiattach = True", 'multiattach = "yes"'),
    _T.text("the check works once", "mkdir(parents=True, exist_ok=True)", "mkdir(parents=True)"),
    _T.text(
        "the check ends all",
        "self._root.mkdir(parents=True, exist_ok=True)",
        "self._root.mkdir(parents=True, exist_ok=True)\n            for path in self._root.iterdir(): path.unlink()",
    ),
    _T.text("an absent file is served", "if not Path(path).is_file():", "if False:"),
    _T.text(
        "an absent file is made",
        '            raise VolumeBackendAPIException(f"{path} is no file")',
        "            Path(path).touch()",
    ),
    _T.text(
        "an absent file leaves a gate",
        "        gate = self._gate(name, read_only)\n        if not Path(path)",
        "        gate = self._gate(name, read_only); self._write(gate, {'path': path})\n        if not Path(path)",
    ),
    _T.before(
        "serving again is an error",
        "ensure",
        "if self._gate(name, read_only).exists(): raise VolumeBackendAPIException('served')",
    ),
    _T.before(
        "serving again ends consumers",
        "ensure",
        "for one in self._passes(name, read_only): one.unlink()",
    ),
    _T.after("serving answers", "ensure", "answer = True"),
    _T.after("serving changes the file", "ensure", "open(path, 'r+b').write(b'served')"),
    _T.after(
        "serving guesses the format",
        "ensure",
        "if open(path, 'rb').read(3) == b'QFI': import os; os.truncate(path, 512)",
    ),
    _T.text("names are paths", 'if "/" in name or name.startswith("."):', "if False:"),
    _T.text(
        "names are cut",
        "return self._root / f\"{name}.{'ro' if read_only else 'rw'}\"",
        "return self._root / f\"{name[:7]}.{'ro' if read_only else 'rw'}\"",
    ),
    _T.text(
        "one gate for both kinds",
        "return self._root / f\"{name}.{'ro' if read_only else 'rw'}\"",
        'return self._root / f"{name}.rw"',
    ),
    _T.text("read-only is written", '"mode": "ro" if read_only else "rw"', '"mode": "rw"'),
    _T.after("it is always up", "is_up", "answer = True"),
    _T.after("it is never up", "is_up", "answer = False"),
    _T.after("it is up by number", "is_up", "answer = int(answer)"),
    _T.text(
        "up is with consumers only",
        "return any(self._gate(name, kind).exists() for kind in (False, True))",
        "return any(self._passes(name, kind) for kind in (False, True))",
    ),
    _T.after("nothing is noted", "noted", "answer = []"),
    _T.after("both kinds are noted", "noted", "answer = [False, True]"),
    _T.text(
        "consumers are not known by name",
        "key = hashlib.sha256(who.encode()).hexdigest()[:12]",
        "key = 'all'",
    ),
    _T.text(
        "consumers by their first letter",
        "hashlib.sha256(who.encode())",
        "hashlib.sha256(who[:0].encode())",
    ),
    _T.text(
        "each connection is another pass",
        "key = hashlib.sha256(who.encode()).hexdigest()[:12]",
        "import os; key = os.urandom(6).hex()",
    ),
    _T.after("an address with a path object", "connect", "answer = {**answer, 'root': self._root}"),
    _T.after(
        "an address that differs",
        "connect",
        "import os; answer = {**answer, 'n': os.urandom(4).hex()}",
    ),
    _T.text(
        "disconnect does nothing",
        "                one.unlink(missing_ok=True)\n            if not self._passes",
        "                pass\n            if not self._passes",
    ),
    _T.text(
        "disconnect leaves the gate",
        "                self._gate(name, kind).unlink(missing_ok=True)\n\n",
        "                pass\n\n",
    ),
    _T.text(
        "disconnect ends all",
        "for one in had if who is None else [self._pass(name, kind, who)]:",
        "for one in had:",
    ),
    _T.text(
        "disconnect of all ends nothing",
        "for one in had if who is None else [self._pass(name, kind, who)]:",
        "for one in [] if who is None else [self._pass(name, kind, who)]:",
    ),
    _T.text(
        "an unknown consumer is an error",
        "                one.unlink(missing_ok=True)\n            if not self._passes",
        "                one.unlink()\n            if not self._passes",
    ),
    _T.after("disconnect ends others", "disconnect", "for p in self._root.iterdir(): p.unlink()"),
    _T.before(
        "disconnect deletes the file",
        "disconnect",
        "for kind in (False, True):\n    if who is None and self._gate(name, kind).exists(): Path(json.loads(self._gate(name, kind).read_text())['path']).unlink()",
    ),
    _T.before("remove does nothing", "remove", "return None"),
    _T.text(
        "remove leaves the passes and the gate of readers",
        "    def remove(self, name):\n        for kind in (False, True):",
        "    def remove(self, name):\n        for kind in (True,):",
    ),
    _T.text(
        "remove leaves the passes",
        "            for one in self._passes(name, kind):\n                one.unlink(missing_ok=True)\n            self._gate",
        "            self._gate",
    ),
    _T.before(
        "remove of an absent one is an error",
        "remove",
        "if not self.is_up(name): raise VolumeBackendAPIException('absent')",
    ),
    _T.after("remove ends others", "remove", "for p in self._root.iterdir(): p.unlink()"),
    _T.text("remove leaves the hold", "            self._hold(name).unlink(missing_ok=True)\n", ""),
    _T.text(
        "remove forgets those of other instances",
        "    def remove(self, name):\n",
        "    def remove(self, name):\n        if name not in getattr(self, '_mine', ()): return\n",
        '        self._write(gate, {"path": path})\n',
        "        self._mine = {*getattr(self, '_mine', ()), name}\n        self._write(gate, {\"path\": path})\n",
    ),
    _T.after("grown serves", "grown", "self._write(self._gate(name, False), {'path': path})"),
    _T.after(
        "grown shrinks",
        "grown",
        "import os; os.truncate(path, 1024**2) if self.is_up(name) else None",
    ),
    _T.after("grown ends the export", "grown", "self.remove(name)"),
    _T.text(
        "writes are not held",
        "                    fcntl.flock(file, fcntl.LOCK_EX)\n",
        "                    pass\n",
    ),
    _T.text(
        "a hold of a name that is not served is an error",
        "                if self.is_up(name):\n",
        "                if True:\n                    self._gate(name, False).stat()\n",
    ),
    _T.text(
        "a hold that is not ended by errors",
        "            yield\n\n    def _gate",
        "            self._kept = stack.pop_all()\n            yield\n            self._kept.close()\n\n    def _gate",
    ),
    _T.text(
        "a hold ends the export",
        "            yield\n\n    def _gate",
        "            yield\n            for name in names: self.remove(name)\n\n    def _gate",
    ),
    _T.text("one temporary name for all", _NEW, 'new = path.with_name(".new")'),
    _T.text(
        "random temporary names", _NEW, "import os; new = path.with_name(f'.{os.urandom(4).hex()}')"
    ),
    _T.text(
        "a gate that is written in place",
        "        new.write_text(json.dumps(values))\n        new.rename(path)",
        "        if not path.exists():\n            with path.open('w') as file:\n                file.write(json.dumps(values))",
        _NEW,
        "import os; new = None",
    ),
    _T.text(
        "the name at work is kept in the driver",
        '        self._write(gate, {"path": path})\n',
        '        self._now = path\n        self._write(gate, {"path": self._now})\n',
    ),
    _T.text(
        "all consumers in one file",
        "    def connect(self, name, who, *, read_only=False):\n",
        "    def connect(self, name, who, *, read_only=False):\n        users = self._root / f'{name}.hold'\n        known = users.read_text().split() if users.exists() else []\n        known.append(who)\n        users.write_text(' '.join(known))\n        if len(users.read_text().split()) != len(known): raise VolumeBackendAPIException('the list has changed')\n        self._check(users, known)\n",
        "    def _write(self, path, values):",
        "    def _check(self, users, known):\n        if users.read_text().split() != known: raise VolumeBackendAPIException('the list has changed')\n\n    def _write(self, path, values):",
    ),
    _T.after("a connection leaves a file", "connect", "(self._root / f'seen-{name}').touch()"),
    _T.after(
        "a connection leaves an open file",
        "connect",
        "self.__class__.LEAK = [*getattr(self, 'LEAK', ()), self._gate(name, read_only).open()]",
    ),
    _T.after(
        "an export leaves a process",
        "ensure",
        "import subprocess; self._p = subprocess.Popen(['sleep', '30'])",
    ),
)
