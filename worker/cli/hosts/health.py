# SPDX-License-Identifier: Apache-2.0
"""holdfast health: ask running services whether they are ready, or alive."""

from __future__ import annotations

import argparse
import glob
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.cli.access import Command, CommandError
from worker.listen_address import SERVICE, Address, address_of

if TYPE_CHECKING:
    from oslo_config import cfg

TIMEOUT = 5.0
"""Seconds that a service has for its answer: less than probes allow."""


class Health(Command):
    """Ask services on this host whether they are ready; exit status 1 when one is not.

    The address is that of [monitoring] listen. Probes of containers call this.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the service and the kind of the probe."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        which = "name of a service, such as holdfast-backup; without it, every service is asked"
        parser.add_argument("service", nargs="?", default="", metavar="SERVICE", help=which)
        alive = "ask whether it is alive: a restart mends a service that is not"
        parser.add_argument("--alive", action="store_true", help=alive)
        form = "text, or one JSON list for programs"
        parser.add_argument("-f", "--format", choices=("text", "json"), default="text", help=form)
        listen = "address in place of [monitoring] listen"
        parser.add_argument("--listen", metavar="ADDRESS", default="", help=listen)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the state of each service, and each reason."""
        conf = self.access.conf
        text = parsed_args.listen or conf.monitoring.listen
        if not text:
            raise CommandError("[monitoring] listen is not set: services answer no probes")
        kind = "alive" if parsed_args.alive else "ready"
        found = [_asked(conf, one, kind) for one in _addresses(text, parsed_args.service)]
        if parsed_args.format == "json":
            self.write(*json.dumps(found, indent=2).splitlines())
        else:
            for one in found:
                self._show(one, kind)
        return int(not all(one[kind] for one in found))

    def _show(self, found: Mapping[str, Any], kind: str) -> None:
        state = kind if found[kind] else f"not {kind}"
        if not found["answers"]:
            self.write(f"{found['address']}: {state}: {found['reasons'][0]}")
            return
        self.write(f"{found['address']}: {state}", *(f"  {one}" for one in found["reasons"]))


def _asked(conf: cfg.ConfigOpts, address: Address, kind: str) -> dict[str, Any]:
    """Return the state of the service at an address."""
    try:
        answer = probe(conf, address, "/healthz" if kind == "alive" else "/readyz")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reasons = [f"it does not answer: {error}"]
        return {"address": str(address), "answers": False, kind: False, "reasons": reasons}
    passed, reasons = answer.get(kind) is True, list(answer.get("reasons", ()))
    return {"address": str(address), "answers": True, kind: passed, "reasons": reasons}


def probe(conf: cfg.ConfigOpts, address: Address, path: str) -> dict[str, Any]:
    """Return the answer of a service to a probe.

    :raises OSError: it does not answer.
    """
    token = conf.monitoring.token_file
    headers = {"Authorization": f"Bearer {Path(token).read_text().strip()}"} if token else {}
    connection = _connection(conf, address)
    try:
        connection.request("GET", path, headers=headers)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def _addresses(text: str, service: str) -> list[Address]:
    try:
        if service or not text.startswith("/") or SERVICE not in text:
            return [address_of(text, service or "holdfast-volume")]
    except ValueError as error:
        raise CommandError(str(error)) from error
    before, _service, after = text.partition(SERVICE)
    found = sorted(glob.glob(f"{glob.escape(before)}holdfast-*{glob.escape(after)}"))
    if not found:
        raise CommandError(f"no service listens at {text}")
    return [Address(path) for path in found]


def _connection(conf: cfg.ConfigOpts, address: Address) -> http.client.HTTPConnection:
    if isinstance(address.bind, str):
        return _UnixConnection(address.bind)
    host, port = address.bind
    if not conf.monitoring.tls_cert_file:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    # The certificate that the service shows is the configured one itself: it names the host as
    # others know it, not as this command does.
    context = ssl.create_default_context(cafile=conf.monitoring.tls_cert_file)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)


class _UnixConnection(http.client.HTTPConnection):
    """A connection over the socket at a path."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)
