# SPDX-License-Identifier: Apache-2.0
"""Connections, exports, and notifications of attachments."""

from __future__ import annotations

from ..bug import Table

_T = Table("vault", "test_connections")


def _info(name: str, value: str):
    return _T.after(name, "initialize_connection", f"answer = {value}")


BUGS = (
    _info(
        "connection info with a relative path",
        "{**answer, 'data': {**answer['data'], 'device_path': 'volumes/x'}}",
    ),
    _T.after("a connector is changed", "initialize_connection", "connector['vault'] = 'x'"),
    _info("no connection info", "None"),
    _info("connection info without a type", "{'data': answer['data']}"),
    _info("connection info without data", "{'driver_volume_type': 'vault'}"),
    _info("connection info with data that is a list", "{**answer, 'data': [answer['data']]}"),
    _info("connection info as a pair", "(answer['driver_volume_type'], answer['data'])"),
    _info(
        "connection info with a path object",
        "{**answer, 'data': {**answer['data'], 'path': Path('/x')}}",
    ),
    _info("connection info with bytes", "{**answer, 'data': {**answer['data'], 'key': b'x'}}"),
    _info("connection info with a set", "{**answer, 'data': {**answer['data'], 'luns': {1, 2}}}"),
    _info(
        "connection info with keys that are numbers",
        "{**answer, 'data': {**answer['data'], 1: 'x'}}",
    ),
    _info(
        "connection info that differs each time",
        "{**answer, 'data': {**answer['data'], 'n': os.urandom(4).hex()}}",
    ),
    _info("a type that is a number", "{**answer, 'driver_volume_type': 7}"),
    _info("initiator_updates that are a list", "{**answer, 'initiator_updates': ['last']}"),
    _info(
        "initiator_updates under another name", "{**answer, 'initiator_updates': {'values': {}}}"
    ),
    _info(
        "remove_values that are a dict",
        "{**answer, 'initiator_updates': {'remove_values': {'a': 1}}}",
    ),
    _info("set_values that are a list", "{**answer, 'initiator_updates': {'set_values': ['a']}}"),
    _info(
        "initiator values that are numbers",
        "{**answer, 'initiator_updates': {'set_values': {'a': 1}}}",
    ),
    _T.text(
        "an absent volume is connected",
        "        path = self._existing(volume.name)\n        ticket",
        "        path = self._volume(volume.name)\n        ticket",
    ),
    _T.text(
        "a connection makes the volume",
        "        path = self._existing(volume.name)\n        ticket",
        "        path = self._volume(volume.name); path.touch()\n        ticket",
    ),
    _T.before(
        "a second call is an error",
        "initialize_connection",
        "if self._ticket(volume.name, connector).exists(): raise VolumeBackendAPIException('connected')",
    ),
    _T.before(
        "a second connector is refused",
        "initialize_connection",
        "if any(t != self._ticket(volume.name, connector) for t in self._tickets(volume.name)): raise VolumeBackendAPIException('taken')",
    ),
    _T.text(
        "a second connector gets another path",
        '        self._write(ticket, {"path": str(path), "host": connector["host"]})\n        data =',
        '        if any(t != ticket for t in self._tickets(volume.name)):\n            other = path.with_name(path.name + \'-second\'); self._copy(path, other, path.stat().st_size); path = other\n        self._write(ticket, {"path": str(path), "host": connector["host"]})\n        data =',
    ),
    _T.text(
        "a connection leads to a copy",
        '        self._write(ticket, {"path": str(path), "host": connector["host"]})\n        data =',
        '        copy = path.with_name(\'.copy-\' + path.name); self._copy(path, copy, path.stat().st_size); path = copy\n        self._write(ticket, {"path": str(path), "host": connector["host"]})\n        data =',
    ),
    _T.text(
        "a connection leads to the first volume",
        '        self._write(ticket, {"path": str(path), "host": connector["host"]})\n        data =',
        '        path = sorted(self._files(\'volumes\'), key=lambda p: p.stat().st_mtime_ns)[0]\n        self._write(ticket, {"path": str(path), "host": connector["host"]})\n        data =',
    ),
    _T.text(
        "all connectors share a ticket",
        'host = hashlib.sha256(connector["host"].encode()).hexdigest()[:12]',
        'host = "all"',
    ),
    _T.text(
        "tickets by address",
        'host = hashlib.sha256(connector["host"].encode()).hexdigest()[:12]',
        'host = hashlib.sha256(connector["ip"].encode()).hexdigest()[:12]',
    ),
    _T.before("initiator_data must be given", "initialize_connection", "initiator_data['key']"),
    _T.before(
        "initiator_data must be absent", "initialize_connection", "assert not initiator_data"
    ),
    _T.text(
        "terminate does nothing",
        "            self._ticket(volume.name, connector).unlink(missing_ok=True)\n        return any",
        "            pass\n        return any",
    ),
    _T.text(
        "terminate of all does nothing",
        "        if connector is None:\n            for ticket in self._tickets(volume.name):\n                ticket.unlink(missing_ok=True)\n        else",
        "        if connector is None:\n            pass\n        else",
    ),
    _T.text(
        "terminate ends all",
        "            self._ticket(volume.name, connector).unlink(missing_ok=True)\n        return any",
        "            for ticket in self._tickets(volume.name): ticket.unlink()\n        return any",
    ),
    _T.text(
        "terminate ends other volumes",
        "            self._ticket(volume.name, connector).unlink(missing_ok=True)\n        return any",
        "            for ticket in (self._root / 'tickets').iterdir(): ticket.unlink()\n        return any",
    ),
    _T.text(
        "terminate of all ends other volumes",
        "        if connector is None:\n            for ticket in self._tickets(volume.name):",
        "        if connector is None:\n            for ticket in (self._root / 'tickets').iterdir():",
    ),
    _T.text(
        "terminate again is an error",
        "            self._ticket(volume.name, connector).unlink(missing_ok=True)\n        return any",
        "            self._ticket(volume.name, connector).unlink()\n        return any",
    ),
    _T.before(
        "terminate of an absent volume is an error",
        "terminate_connection",
        "self._existing(volume.name)",
    ),
    _T.before("terminate needs a connector", "terminate_connection", "connector['host']"),
    _T.after("terminate says it is always in use", "terminate_connection", "answer = True"),
    _T.after("terminate says it is never in use", "terminate_connection", "answer = False"),
    _T.after("terminate answers a number", "terminate_connection", "answer = int(answer)"),
    _T.after("terminate answers text", "terminate_connection", "answer = 'done'"),
    _T.after(
        "terminate clears the data",
        "terminate_connection",
        "p = self._volume(volume.name)\nif p.exists() and connector is None: s = p.stat().st_size; os.truncate(p, 0); os.truncate(p, s)",
    ),
    _T.after(
        "terminate deletes the volume",
        "terminate_connection",
        "if not answer: self._volume(volume.name).unlink(missing_ok=True)",
    ),
    _T.after(
        "terminate keeps a spare ticket",
        "terminate_connection",
        "if connector: self._write(self._ticket(volume.name, {'host': 'spare'}), {'path': str(self._volume(volume.name))})",
    ),
    _T.text(
        "remove_export leaves the tickets",
        '        for ticket in self._tickets(volume.name):\n            ticket.unlink(missing_ok=True)\n        (self._root / "exports"',
        '        (self._root / "exports"',
    ),
    _T.text(
        "remove_export does nothing",
        '        for ticket in self._tickets(volume.name):\n            ticket.unlink(missing_ok=True)\n        (self._root / "exports" / volume.name).unlink(missing_ok=True)',
        "        return None",
    ),
    _T.text(
        "remove_export of an absent one is an error",
        '(self._root / "exports" / volume.name).unlink(missing_ok=True)',
        '(self._root / "exports" / volume.name).unlink()',
    ),
    _T.after(
        "remove_export removes all exports",
        "remove_export",
        "for ticket in (self._root / 'tickets').iterdir(): ticket.unlink()",
    ),
    _T.after(
        "remove_export removes the volume",
        "remove_export",
        "self._volume(volume.name).unlink(missing_ok=True)",
    ),
    _T.after(
        "remove_export leaves a file",
        "remove_export",
        "(self._root / 'exports' / f'was-{volume.name}').touch()",
    ),
    _T.text(
        "create_export of an absent volume",
        '        self._existing(volume.name)\n        (self._root / "exports"',
        '        (self._root / "exports"',
    ),
    _T.text(
        "create_export only once",
        '(self._root / "exports" / volume.name).touch()',
        '(self._root / "exports" / volume.name).touch(exist_ok=False)',
    ),
    _T.before("create_export needs a connector", "create_export", "connector['host']"),
    _T.after(
        "create_export grants access",
        "create_export",
        "if connector: self._write(self._ticket(volume.name, {'host': 'any'}), {'path': str(self._volume(volume.name))})",
    ),
    _T.before(
        "ensure_export ends the connections", "ensure_export", "self.remove_export(context, volume)"
    ),
    _T.before(
        "ensure_export makes the volume anew",
        "ensure_export",
        "self.remove_export(context, volume); self.create_volume(volume)",
    ),
    _T.before(
        "ensure_export is an error where it stands",
        "ensure_export",
        "if (self._root / 'exports' / volume.name).exists(): raise VolumeBackendAPIException('exported')",
    ),
    _T.text(
        "validate_connector accepts nothing",
        'if not connector.get("host"):',
        'if connector.get("host"):',
    ),
    _T.text(
        "validate_connector raises a KeyError",
        'if not connector.get("host"):',
        'if not connector["host"]:',
    ),
    _T.text(
        "validate_connector wants FC",
        'if not connector.get("host"):',
        'if not connector.get("wwpns"):',
    ),
    _T.after("validate_connector answers", "validate_connector", "answer = True"),
    _T.text(
        "a deletion in use",
        'raise VolumeIsBusy(f"volume {volume.id} is attached: detach it first")',
        "self.remove_export(None, volume)",
    ),
    _T.text(
        "in use is another error",
        'raise VolumeIsBusy(f"volume {volume.id} is attached: detach it first")',
        'raise VolumeBackendAPIException(f"volume {volume.id} is attached")',
    ),
    _T.text(
        "in use, and the data is cleared",
        'raise VolumeIsBusy(f"volume {volume.id} is attached: detach it first")',
        'os.truncate(self._volume(volume.name), 0); raise VolumeIsBusy(f"volume {volume.id} is attached")',
    ),
    _T.after("attach_volume answers", "attach_volume", "answer = {'status': 'in-use'}"),
    _T.before("attach_volume needs an instance", "attach_volume", "instance_uuid.strip()"),
    _T.before("attach_volume needs a host", "attach_volume", "host_name.strip()"),
    _T.before(
        "attach_volume clears the data",
        "attach_volume",
        "os.truncate(self._volume(volume.name), 0)",
    ),
    _T.before("detach_volume needs an attachment", "detach_volume", "attachment.id"),
    _T.before("detach_volume deletes", "detach_volume", "self._volume(volume.name).unlink()"),
    _T.text(
        "a snapshot is exported as its volume",
        "        path = self._existing_snapshot(snapshot)\n        ticket",
        "        path = self._existing(snapshot.volume_name)\n        ticket",
    ),
    _T.text(
        "access to a snapshot stays",
        "            self._ticket(snapshot.name, connector).unlink(missing_ok=True)\n",
        "            pass\n",
        "        for ticket in self._tickets(snapshot.name):\n            ticket.unlink(missing_ok=True)\n",
        "        pass\n",
    ),
    _T.text(
        "access of all to a snapshot stays",
        "            self.remove_export_snapshot(None, snapshot)\n",
        "            pass\n",
        "        for ticket in self._tickets(snapshot.name):\n            ticket.unlink(missing_ok=True)\n",
        "        pass\n",
    ),
    _T.text(
        "an absent snapshot is connected",
        "        path = self._existing_snapshot(snapshot)\n        ticket",
        "        path = self._snapshot(snapshot)\n        ticket",
        "        self._existing_snapshot(snapshot)\n\n",
        "        return None\n\n",
    ),
    _T.before(
        "connection info of a snapshot without data",
        "initialize_connection_snapshot",
        "return {'driver_volume_type': 'vault'}",
    ),
    _T.before(
        "terminate of a snapshot needs access",
        "terminate_connection_snapshot",
        "self._ticket(snapshot.name, connector).stat()",
    ),
    _T.before(
        "reading makes a snapshot's copy",
        "initialize_connection_snapshot",
        "(self._root / 'volumes' / f'read-{snapshot.name}').touch()",
    ),
    _T.text(
        "a restart forgets the tickets",
        "        self._stats = None\n",
        "        self._stats = None; self._mine = set()\n",
        '        self._write(ticket, {"path": str(path), "host": connector["host"]})\n        data =',
        '        self._mine.add(ticket); self._write(ticket, {"path": str(path), "host": connector["host"]})\n        data =',
        "            for ticket in self._tickets(volume.name):\n                ticket.unlink(missing_ok=True)\n        else:\n            self._ticket(volume.name, connector).unlink(missing_ok=True)",
        "            for ticket in self._tickets(volume.name):\n                ticket in self._mine and ticket.unlink(missing_ok=True)\n        else:\n            ticket = self._ticket(volume.name, connector)\n            ticket in self._mine and ticket.unlink(missing_ok=True)",
    ),
)
