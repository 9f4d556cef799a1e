# SPDX-License-Identifier: Apache-2.0
"""A campaign: rounds of faults under load on one world, each judged at its end."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.cluster.checks.collect import collect
from tests.cluster.checks.evidence import Finding, Struck
from tests.cluster.checks.verdict import Verdict
from tests.cluster.faults.plan import Fault, Plan
from tests.cluster.faults.shared import Allowance, ServerFaults
from tests.cluster.faults.strike import Striker
from tests.cluster.load.generator import Generator
from tests.cluster.load.ledger import Ledger
from tests.cluster.load.stock import Stock
from tests.cluster.rig.world import World
from tests.functional.service import Service

WARM_UP = 3.0
"""Seconds of load before the first fault of a round."""

Say = Callable[[str], None]


class Campaign:
    """Rounds on one world.

    :param ttl: seconds of a lease.
    :param most: faults at the same time.
    :param keep: where the history and the logs of a round with findings or failures are left.
    :param keep_all: leave those of the other rounds as well.
    :param servers: the faults of servers that campaigns on other worlds use as well.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        seed: int | str,
        *,
        ttl: float,
        most: int = 2,
        rate: float = 4.0,
        backups: bool = True,
        keep: Path | None = None,
        keep_all: bool = False,
        say: Say = print,
        servers: ServerFaults | None = None,
    ) -> None:
        self.world, self.plan = world, plan
        self.total = Verdict()
        self.skipped: dict[str, str] = {}
        self._seed, self._ttl, self._most = seed, ttl, most
        self._rate, self._backups, self._keep, self._say = rate, backups, keep, say
        self._keep_all = keep_all
        self._servers = servers or ServerFaults()
        self._stock = Stock(random.Random(f"{seed} stock"))
        self._known: set[str] = set()

    def run(self, allowance: Allowance) -> Verdict:
        """Play rounds as long as faults are allowed; return the result of all."""
        for number in itertools.count():
            granted = allowance.take(self.plan.size)
            if not granted:
                break
            self.round(number, self.plan.round(number)[:granted])
        return self.total

    def round(self, number: int, faults: Sequence[Fault]) -> Verdict:
        """Play a round; return its result."""
        began = time.monotonic()
        logs = {service: service.position() for service in self._services()}
        ledger, striker = Ledger(), Striker(self.world, self._servers)
        load = Generator(
            self.world.cloud,
            ledger,
            random.Random(f"{self._seed} load {number}"),
            rate=self._rate,
            backups=self._backups,
            longest=self._ttl,
            stock=self._stock,
        )
        load.start()
        try:
            time.sleep(WARM_UP)
            self._strike(striker, faults)
            self._settle()
            load.halt(120)
            load.drain(self.patience, self._servers.last)
        finally:
            load.close()
        struck = self._all_struck(striker.struck, began)
        with self._servers.judging():
            verdict = self._judge(ledger, struck)
        for entry in ledger.entries():
            if entry.failed:
                self._say(f"  failed: {entry.shown()}")
        self.skipped |= striker.skipped
        self.total += verdict
        took = time.monotonic() - began
        self._say(f"round {number} in {took:.0f} s: {verdict.line()}")
        if verdict.findings:
            self._report(number, faults, verdict)
        if self._keep is not None and (verdict.findings or verdict.failed or self._keep_all):
            self._leave(self._keep / f"round-{number}", logs, struck)
        self._forget_history()
        return verdict

    @property
    def patience(self) -> float:
        """Seconds in which all operations end when the faults are over."""
        return 60.0 + 6 * self._ttl

    def _strike(self, striker: Striker, faults: Sequence[Fault]) -> None:
        free = threading.Semaphore(self._most)
        errors: list[str] = []

        def strike(fault: Fault) -> None:
            try:
                striker.strike(fault)
            except Exception as error:  # noqa: BLE001 - the round goes on, and says so
                errors.append(f"{fault.shown()}: {type(error).__name__}: {error}")
            finally:
                free.release()

        threads = []
        for fault in faults:
            time.sleep(fault.delay)
            free.acquire()
            threads.append(threading.Thread(target=strike, args=(fault,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()
        for text in errors:
            self._say(f"the rig failed: {text[:2000]}")

    def _settle(self) -> None:
        """Wait until each host runs again; in an outage of a server they cannot start."""
        for service in self._services():
            service.wait_for_notice("READY=1", 2 * self.patience)

    def _services(self) -> list[Service]:
        return [service for host in self.world for service in host.services.values()]

    def _all_struck(self, own: Sequence[Struck], began: float) -> list[Struck]:
        """Return the faults of a round, with those of servers that other worlds have struck."""
        known = {(one.kind, one.began) for one in own}
        others = self._servers.since(began, tuple(self.world.hosts))
        return [*own, *(one for one in others if (one.kind, one.began) not in known)]

    def _judge(self, ledger: Ledger, struck: Sequence[Struck]) -> Verdict:
        verdict = Verdict.of(collect(self.world, ledger, struck))
        fresh = [one for one in verdict.findings if one.text not in self._known]
        self._known |= {one.text for one in fresh}
        verdict.findings = fresh
        return verdict

    def _report(self, number: int, faults: Sequence[Fault], verdict: Verdict) -> None:
        for finding in verdict.findings[:20]:
            self._say(f"  {finding.kind}: {finding.text}")
        seed, _, world = str(self._seed).partition(" ")
        again = f"--seed {seed} --round {number}" + (f" --world {world}" if world else "")
        self._say(f"  again: {again}; faults of the round:")
        for fault in faults:
            self._say(f"    {fault.shown()}, {fault.delay:.1f} s after the one before")

    def _leave(self, place: Path, logs: Mapping[Service, int], struck: Sequence[Struck]) -> None:
        """Leave the history, the faults and the logs of a round."""
        place.mkdir(parents=True, exist_ok=True)
        (place / "history").write_text(self.world.history.read_text())
        (place / "faults").write_text("\n".join(json.dumps(asdict(one)) for one in struck))
        for host in self.world:
            for kind, service in host.services.items():
                text = service.text(logs[service])
                (place / f"{host.name}-{kind}.log").write_text(text)

    def _forget_history(self) -> None:
        self.world.history.unlink(missing_ok=True)
        for path in (self.world.shared / "effects").iterdir():
            path.unlink()


def seen(findings: Sequence[Finding]) -> str:
    """Return findings for a message."""
    return "\n".join(f"{one.kind}: {one.text}" for one in findings)
