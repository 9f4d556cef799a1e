# SPDX-License-Identifier: Apache-2.0
"""Start services and commands by a fork of a process that has imported their modules.

The imports take 1 s of CPU, three quarters of a service's start. Except for them a forked
program starts as an executed one does: it has its own session, arguments, environment and
directory. Its command line in /proc is that of the fork server.

The fork server forks a *parent*, which forks the program, waits for it, and writes the
program's process id and exit status into a pipe.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import IO, Any

from tests.servers.place import enter
from tests.servers.process import Launched, Process

MODULES = (
    # The first two keep eventlet, and parts of libraries, out of the process.
    *("worker.compat.native_threads", "worker.compat.deferred"),
    *("worker.service.volume", "worker.service.backup", "worker.service.process"),
    *("worker.service.fence", "worker.conf.backends", "worker.conf.state_path"),
    *("worker.cli.backup", "worker.cli.cast", "worker.cli.flow", "worker.cli.volume"),
    *("worker.cli.config", "worker.cli.db", "worker.cli.demo", "worker.cli.driver"),
    *("worker.cli.group", "worker.cli.journal", "worker.conf.database_files"),
    *("cliff.app", "cliff.commandmanager", "cliff.formatters.commaseparated"),
    *("cliff.formatters.json_format", "cliff.formatters.table", "cliff.formatters.value"),
    *("cliff.formatters.yaml_format", "tooz.drivers.file", "multiprocessing.sharedctypes"),
    *("encodings.idna", "mmap"),
    *("drivers.volume.local", "drivers.backup.posix"),
    *("tests.scripted.volume_driver", "tests.scripted.backup_driver"),
    *("kombu.transport.pyamqp", "oslo_messaging._drivers.impl_rabbit"),
    *("pymysql", "psycopg2", "sqlalchemy.dialects.mysql.pymysql"),
    *("sqlalchemy.dialects.postgresql.psycopg2", "sqlalchemy.dialects.sqlite.pysqlite"),
)
"""Imported before the first fork; the modules of programs themselves are not."""

DATABASE_MODULES = (
    *("worker.compat.native_threads", "worker.compat.deferred", "tests.conftest"),
    *("worker.journal.journal", "worker.db.records", "worker.db.sync", "flows.volume.create"),
    *("pymysql", "psycopg2", "sqlalchemy.dialects.mysql.pymysql"),
    *("sqlalchemy.dialects.postgresql.psycopg2", "sqlalchemy.dialects.sqlite.pysqlite"),
)
"""Those of processes that share a database."""

_LARGEST_REQUEST = 2**20  # bytes
_PATIENCE = 120.0  # seconds; a command waits for an operation


Streams = tuple[IO[bytes], IO[bytes], IO[bytes]]
"""The standard input, output and error output of a program."""


class ForkServer:
    """A process that forks itself into programs; it ends with the process that started it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = Path(__file__).parents[2]
        paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        atexit.register(self.close)

    def start(self, argv: list[str], streams: Streams, **more: Any) -> Forked:
        """Fork a program.

        :param argv: its module and its arguments, as for ``python -m``.
        :param more: its environment ``env``, its directory ``cwd``, and maybe its network
            ``namespace``.
        """
        read, write = os.pipe()
        request = json.dumps({"argv": argv, **more}).encode()
        descriptors = [*(stream.fileno() for stream in streams), write]
        try:
            with self._lock:
                socket.send_fds(self._socket, [request], descriptors)
        finally:
            os.close(write)
        return Forked(read)

    def close(self) -> None:
        """End the server; the programs that it started go on."""
        self._socket.close()
        self._server.wait(20)


class Forked:
    """A program that the fork server started, as ``subprocess.Popen`` shows one."""

    def __init__(self, pipe: int) -> None:
        self._pipe = os.fdopen(pipe, "rb")
        self._returncode: int | None = None
        line = self._pipe.readline()
        if not line:
            raise RuntimeError("the fork server has ended")
        self.pid = int(line)

    def poll(self) -> int | None:
        """Return the exit status, None while the program runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self._returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end and return the exit status."""
        if self._returncode is None:
            if not select.select([self._pipe], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            self._returncode = int(self._pipe.readline())
            self._pipe.close()
        return self._returncode


class ForkedProcess(Process):
    """A running program that the fork server started, and all its children."""

    def _launch(
        self,
        argv: list[str],
        output: IO[bytes],
        env: Mapping[str, str] | None,
        cwd: Path | None,
        user: str | None,
    ) -> Launched:
        _python, option, *program = argv
        assert (option, user) == ("-m", None)
        known = {"env": dict(os.environ if env is None else env), "cwd": str(cwd or os.getcwd())}
        if self.namespace is not None:
            known["namespace"] = self.namespace
        with open(os.devnull, "rb") as nothing:
            return fork_server().start(program, (nothing, output, output), **known)


def command(*argv: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and capture its output.

    :param argv: its module and its arguments, as for ``python -m``.
    :param text: its standard input.
    """
    with contextlib.ExitStack() as stack:
        given, out, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write((text or "").encode())
        for stream in (given, out, errors):
            stream.seek(0)
        known = {"env": dict(os.environ), "cwd": os.getcwd()}
        status = fork_server().start(list(argv), (given, out, errors), **known).wait(_PATIENCE)
        texts = []
        for stream in (out, errors):
            stream.seek(0)
            texts.append(stream.read().decode())
    return subprocess.CompletedProcess(argv, status, *texts)


def processes() -> BaseContext:
    """Return the context of ``multiprocessing`` whose processes have the modules of a database.

    Its fork server, which the library starts, imports them once.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(DATABASE_MODULES))
    return context


@functools.cache
def fork_server() -> ForkServer:
    """Return the fork server of this process, which starts when it is first asked for."""
    return ForkServer()


def end_fork_server() -> None:
    """End the fork server of this process before the process ends, if there is one."""
    if fork_server.cache_info().currsize:
        fork_server().close()


def serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return it in the new program, None when the other end closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the parents
    while True:
        data, descriptors, _flags, _ = socket.recv_fds(requests, _LARGEST_REQUEST, 4)
        if not descriptors:
            return None
        *streams, status = descriptors
        if not os.fork():
            requests.close()
            _report(status)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            request: dict[str, Any] = json.loads(data)
            return request
        for descriptor in descriptors:
            os.close(descriptor)


def _report(status: int) -> None:
    """Fork; return in the new process. Its parent writes its id and exit status, and ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if not pid:
        os.close(status)
        os.setsid()
        return
    os.write(status, f"{pid}\n".encode())
    _pid, ended = os.waitpid(pid, 0)
    os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def run(argv: list[str], env: dict[str, str], cwd: str, namespace: str | None = None) -> None:
    """Run a program in this process, as ``python -m module`` does."""
    if namespace is not None:
        enter(namespace)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[0] = cwd
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


def main() -> None:
    """Import the modules and serve; in a new program, run it."""
    for name in MODULES:
        importlib.import_module(name)
    assert threading.active_count() == 1, threading.enumerate()
    gc.freeze()
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        run(**request)


if __name__ == "__main__":
    main()
