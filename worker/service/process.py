# SPDX-License-Identifier: Apache-2.0
"""The processes of a service: one per slot, supervised by cotyledon.

A service of one process needs no supervisor except systemd: it runs in the main process,
which saves a third of the memory.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import cotyledon
from cotyledon.types import ServiceId, WorkerId
from oslo_config import cfg

from flows.errors import ProcessStopping
from worker import log_output
from worker.compat import cotyledon as compat
from worker.conf.check.problems import EXIT_STATUS, ConfigError
from worker.journal.errors import JournalError
from worker.service import systemd
from worker.service.monitoring.monitored import Monitored
from worker.service.start_stop import Service
from worker.service.startup import before_fork, bus_check, memory, start_refused
from worker.service.startup.orphaned_programs import OrphanedPrograms
from worker.service.startup.start_order import StartOrder, Turn
from worker.service.state_report.state_reporter import StateReporter
from worker.spans.traces import TRACES

LOG = logging.getLogger(__name__)

START_GRACE = 60.0
"""Seconds that a stop waits, at most, for the end of a start: a driver may hang in its set-up."""

SPANS_GRACE = 1.0
"""Seconds that a stop waits, at most, for the collector of traces."""

SUPERVISOR_MARGIN = 5.0
"""Seconds that a child has, after its grace period, before it is killed."""

_SETTLED = 5.0
"""Seconds between the start of a process and the work that its first operations do not need."""

_STALL = 30.0
"""Seconds without a heartbeat of a child after which the watchdog is not notified any more."""


Make = Callable[[int, Callable[[str], None]], Service]
"""Makes the service of a process, of its number and its heartbeat function."""


class ServiceProcess(cotyledon.Service):
    """One slot of one service, in its own process."""

    name = "holdfast"

    def __init__(
        self,
        worker_id: WorkerId,
        conf: cfg.ConfigOpts,
        make: Make,
        heartbeat: Callable[[int, str], None],
        refuse: Callable[[int, str], None],
        order: StartOrder | None = None,
        monitored: Monitored | None = None,
    ) -> None:
        super().__init__(worker_id)
        self._monitored = monitored or Monitored()
        self._turn = Turn(order)
        self._conf = conf
        self._stopped = threading.Event()
        self._started = threading.Lock()
        self._signals = 0
        self._refuse = functools.partial(refuse, worker_id)
        self._service = make(worker_id, functools.partial(heartbeat, worker_id))
        self._reporter = StateReporter(conf, self._shown_name, self._service)

    def signalled(self) -> None:
        """Count a SIGTERM, in its handler; the second one ends the grace period."""
        self._signals += 1
        if self._signals > 1:
            self._service.make_urgent()

    def report_state(self) -> None:
        """Report the state of the process soon; callable from a signal handler."""
        self._reporter.request()

    def run(self) -> None:
        """Serve until :meth:`terminate` is called."""
        self._reporter.start()
        self._monitored.publish(self.worker_id, self._service)
        with self._started, self._turn.start():
            if not self._stopped.is_set():
                self._start()
        if not self._stopped.wait(_SETTLED):
            before_fork.prepare(self._conf)  # a process without a parent has not done so
            before_fork.complete()
            memory.release()
            self._stopped.wait()

    def _start(self) -> None:
        try:
            self._service.start(self._turn)
        except ProcessStopping as error:
            LOG.info("the start ends: %s", error)
            raise SystemExit(0) from error
        except (ConfigError, start_refused.StartRefused) as error:
            self._end_start(str(error), error)
        except JournalError as error:
            self._end_start(
                f"the journal cannot be read: {error}; run: holdfast journal check", error
            )

    def _end_start(self, text: str, error: BaseException) -> NoReturn:
        """End the process with one line, which is also the status text of the supervisor."""
        LOG.error("%s", text)
        self._reporter.stop()
        self._refuse(text)
        status = EXIT_STATUS if isinstance(error, ConfigError) else start_refused.EXIT_STATUS
        raise SystemExit(status) from error

    def terminate(self) -> None:
        """Stop the service: running operations end or are suspended, none is lost."""
        self._stopped.set()
        self._service.give_up_starting()
        grace = _grace(self._conf)
        if self._started.acquire(timeout=min(grace, START_GRACE)):
            self._service.stop(grace)
        else:
            LOG.warning("the start has not ended in its grace; the process ends without it")
        TRACES.close(SPANS_GRACE)
        _end()

    def _shown_name(self) -> str:
        if (parts := self._service.built) is None:
            return f"process {self.worker_id}, which starts"
        return f"{parts.base.identity.binary} {parts.base.identity.slot}"

    def reload(self) -> None:
        """Read the mutable options again; running operations are not affected."""
        log_output.reread(self._conf)
        if (parts := self._service.built) is not None:
            parts.operations.limits_changed()


def serve(
    conf: cfg.ConfigOpts, services: Sequence[tuple[Make, int]], topic: str, name: str
) -> None:
    """Run the processes of several services until SIGTERM.

    :param services: for each service, the function that makes it and its number of processes.
    :param topic: of the queue that they share.
    :param name: of the service, for monitors.
    :raises ConfigError: the message bus refuses them.
    """
    bus_check.require_accepted(conf, topic)
    count = sum(processes for _make, processes in services)
    watchdog = systemd.Watchdog.from_environment(count, _STALL)
    monitored = Monitored.from_conf(conf, name, count)
    if count == 1:
        _serve_alone(conf, services[0][0], watchdog, monitored)
    else:
        _serve_several(conf, services, watchdog, monitored, topic)


def _serve_alone(
    conf: cfg.ConfigOpts, make: Make, watchdog: systemd.Watchdog, monitored: Monitored
) -> None:
    """Run the only process of a service; its main thread only waits for signals."""
    memory.share(memory.ARENAS)

    def refuse(number: int, text: str) -> None:
        watchdog.record_refusal(number, text)
        watchdog.show_status()

    process = ServiceProcess(
        WorkerId(0), conf, make, watchdog.record_heartbeat, refuse, monitored=monitored
    )
    received, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    # The interpreter writes the number there, whichever thread the signal interrupts. A handler
    # alone runs only when this thread, which waits, wakes up.
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, lambda _number, _frame: None)
    watchdog.start()
    _in_thread(process.run)
    stopping = False
    while True:
        for code in received.recv(64):
            if code == signal.SIGHUP:
                process.reload()
                continue
            if code == signal.SIGUSR2:
                process.report_state()
                continue
            process.signalled()
            if not stopping:
                stopping = True
                _in_thread(process.terminate)


def _in_thread(work: Callable[[], None]) -> None:
    """Run work on a thread of its own; an error in it ends the process."""

    def run() -> None:
        try:
            work()
        except SystemExit as ending:
            _end(int(ending.code or 0))
        except BaseException:
            LOG.critical("the process ends in an unexpected error", exc_info=True)
            _end(2)

    threading.Thread(target=run, name=work.__name__, daemon=True).start()


def _serve_several(
    conf: cfg.ConfigOpts,
    services: Sequence[tuple[Make, int]],
    watchdog: systemd.Watchdog,
    monitored: Monitored,
    topic: str,
) -> None:
    """Supervise several processes."""
    grace = int(conf.graceful_shutdown_timeout)
    order = StartOrder(_complete)
    manager = compat.ServiceManager(
        order.wait,
        graceful_shutdown_timeout=grace + int(SUPERVISOR_MARGIN) if grace else 0,
    )
    refusal = _Refusal(watchdog.show_status, manager.shutdown)
    orphaned = OrphanedPrograms()
    orphaned.adopt()

    def note_death(service: ServiceId, worker: WorkerId, status: int) -> None:
        if status:  # after an orderly stop nothing is left
            orphaned.kill()
        refusal.note(service, worker, status)

    manager.register_hooks(
        on_terminate=_pass_on_a_second_signal,
        on_new_worker=_count_signals,
        on_dead_worker=note_death,
    )
    first = 0
    for make, processes in services:
        records = [
            _of_child(one, first) for one in (watchdog.record_heartbeat, watchdog.record_refusal)
        ]
        args = (conf, make, *records, order, monitored.of(first))
        manager.add(ServiceProcess, workers=processes, args=args)
        first += processes
    reporter = StateReporter(conf, lambda: f"the supervisor of {topic}", before=_ask_children)
    signal.signal(signal.SIGUSR2, lambda _number, _frame: reporter.request())
    reporter.start()
    watchdog.start()
    before_fork.prepare(conf)
    memory.share(memory.ARENAS_OF_CHILDREN)
    with refusal.passed_on():
        manager.run()


def _complete() -> None:
    with memory.loading():
        before_fork.complete()
    memory.share(memory.ARENAS_OF_CHILDREN)


class _Refusal:
    """Ends the service with the status of a child that refuses to start.

    cotyledon starts a child again whose process has ended, however it ended.

    :param show: shows the reason to the supervisor.
    :param stop: stops the service, and returns when no further child will be started.
    """

    def __init__(self, show: Callable[[], None], stop: Callable[[], None]) -> None:
        self._show = show
        self._stop = stop
        self._status = 0

    def note(self, _service: ServiceId, _worker: WorkerId, status: int) -> None:
        """Take note of the end of a child, and end all others where it refused."""
        if status in (EXIT_STATUS, start_refused.EXIT_STATUS) and not self._status:
            self._status = status
            self._show()
            self._stop()

    @contextlib.contextmanager
    def passed_on(self) -> Iterator[None]:
        """Run the service; end with the status for a refusal where there was one."""
        try:
            yield
        except SystemExit as error:
            if self._status:
                raise SystemExit(self._status) from error
            raise


def _count_signals(_service: ServiceId, _worker: WorkerId, process: cotyledon.Service) -> None:
    """Have a child process handle the signals that it receives, in its main thread."""
    assert isinstance(process, ServiceProcess)
    signal.signal(signal.SIGTERM, lambda _number, _frame: process.signalled())
    signal.signal(signal.SIGUSR2, lambda _number, _frame: process.report_state())


def _ask_children() -> None:
    """Have each child process report its state."""
    for child in multiprocessing.active_children():
        if child.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGUSR2)


def _pass_on_a_second_signal() -> None:
    """Have the parent pass a second SIGTERM on: cotyledon ignores signals while it stops."""

    def pass_on(_number: int, _frame: object) -> None:
        for child in multiprocessing.active_children():
            child.terminate()

    signal.signal(signal.SIGTERM, pass_on)


def _grace(conf: cfg.ConfigOpts) -> float:
    """Seconds that running operations have to end; 0 in the configuration is no limit."""
    return float(conf.graceful_shutdown_timeout) or threading.TIMEOUT_MAX


def _end(status: int = 0) -> None:
    logging.shutdown()
    # A driver call that hangs must not keep the process: the journal has its flow.
    os._exit(status)


def _of_child(record: Callable[[int, str], None], first: int) -> Callable[[int, str], None]:
    """Return a function that records something of a process of one of several services.

    :param first: the number of the service's first process among all.
    """
    return lambda worker_id, text: record(first + worker_id, text)
