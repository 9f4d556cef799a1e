# SPDX-License-Identifier: Apache-2.0
"""A way to a server on this machine that can be closed, as a cut network would."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """Passes connections to a port on, while it is open.

    :ivar port: where clients connect.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._connections: list[socket.socket] = []
        self._guard = threading.Lock()
        self.port = 0
        self.open()

    def open(self) -> None:
        """Accept connections."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections, and end all."""
        with self._guard:
            self._listener.close()
            found, self._connections = self._connections, []
        for one in found:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # the server is away, as its client finds out now
                client.close()
                continue
            with self._guard:
                if listener.fileno() < 0:
                    client.close()
                    server.close()
                    return
                self._connections += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
