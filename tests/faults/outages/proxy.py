# SPDX-License-Identifier: Apache-2.0
"""A TCP link that can be cut, in the middle of a message as well, or made slow."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from tests.servers import free_port

_CHUNK = 65536


class Link:
    """Forwards a loopback port to another one.

    :param target: the port of the server.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.delay = 0.0
        """Seconds by which each piece is held up, in either direction."""
        self.cuts = 0
        """How often a message was cut in its middle."""
        self._target = target
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._marks: list[bytes] = []
        self._asked: bytes | None = None
        self._before = 0
        self._unanswered: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.mend()

    def mend(self) -> None:
        """Accept connections."""
        if self._listener is not None:
            return
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # A close alone does not wake the thread that waits in accept().
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop()

    def drop(self) -> None:
        """Break all connections; new ones are accepted."""
        with self._lock:
            broken, self._open = self._open, set()
        for end in broken:
            _close(end)

    def cut_within(self, mark: bytes) -> None:
        """Break the connection in the middle of the next message that contains a mark."""
        with self._lock:
            self._marks.append(mark)

    def lose_answer(self, mark: bytes, before: int) -> None:
        """Break the connection after the server has answered a message, before its answer.

        :param mark: a part of the message.
        :param before: how many such messages are answered first.
        """
        with self._lock:
            self._asked, self._before = mark, before

    def lose_nothing(self) -> None:
        """Have all messages answered again."""
        with self._lock:
            self._asked = None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                _close(client)
                continue
            server.settimeout(None)
            with self._lock:
                self._open |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(_CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                if self._is_answer_to_lose(source):
                    break
                self._note_question(data, sink)
                if (place := self._marked(data)) is not None:
                    sink.sendall(data[:place])
                    break
                sink.sendall(data)
        except OSError:
            pass
        with self._lock:
            self._open -= {source, sink}
        _close(source)
        _close(sink)

    def _note_question(self, data: bytes, server: socket.socket) -> None:
        """Note that the answer to a message is to be lost; the mark is in no answer."""
        with self._lock:
            if self._asked is None or self._asked not in data:
                return
            if self._before:
                self._before -= 1
                return
            self._asked = None
            self._unanswered.add(server)

    def _is_answer_to_lose(self, server: socket.socket) -> bool:
        with self._lock:
            if server not in self._unanswered:
                return False
            self._unanswered.discard(server)
            self.cuts += 1
            return True

    def _marked(self, data: bytes) -> int | None:
        """Return where to cut this piece; each mark cuts once."""
        with self._lock:
            for mark in self._marks:
                if (place := data.find(mark)) >= 0:
                    self._marks.remove(mark)
                    self.cuts += 1
                    return place + len(mark) // 2
        return None


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
