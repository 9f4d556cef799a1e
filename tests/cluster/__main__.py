# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.cluster``: the campaign of faults on several hosts, or one round again."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import logging
import random
import string
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from worker.compat import native_threads  # noqa: F401  # isort: skip

from tests.cluster.checks.evidence import Finding
from tests.cluster.checks.verdict import Verdict
from tests.cluster.faults.campaign import Campaign
from tests.cluster.faults.plan import EVERY, KINDS, Plan
from tests.cluster.faults.shared import Allowance, ServerFaults
from tests.cluster.faults.upgrade import upgrade
from tests.cluster.rig.setting import Kinds, Setting
from tests.cluster.rig.world import CLUSTER, Shape, World
from tests.servers.several import network


def main(argv: Sequence[str] | None = None) -> int:
    """Strike, print the result as one line of JSON, and return 1 if anything was found."""
    options = _options(argv)
    for name in ("amqp", "oslo.messaging", "worker"):  # the load meets the faults as well
        logging.getLogger(name).setLevel(logging.CRITICAL)
    kinds = Kinds(options.database, options.locks, options.broker)
    reason = network.missing() or ", ".join(kinds.missing())
    if reason:
        print(f"skipped: {reason}")
        return 0
    _say(f"seed {options.seed}: {options.worlds} times {options.hosts} hosts, {kinds}")
    began = time.monotonic()
    with Setting(kinds) as setting, contextlib.ExitStack() as stack:
        worlds = [stack.enter_context(World(setting, *one)) for one in _shapes(options)]
        for world in worlds:
            world.start()
        _say(f"servers and hosts after {time.monotonic() - began:.0f} s")
        if options.upgrade:
            verdict, figures = upgrade(worlds[0], options.seed, options.rate, options.ttl / 3)
            print("\n".join(f"{one.kind}: {one.text}" for one in verdict.findings))
            print(json.dumps(figures), flush=True)
            return 0 if verdict.is_good and not verdict.failed else 1
        campaigns = _campaigns(options, worlds)
        if options.round is not None:
            campaigns[-1].round(options.round, campaigns[-1].plan.round(options.round))
        else:
            _strike(campaigns, options.faults, options.minutes)
    return _report(campaigns, time.monotonic() - began)


def _shapes(options: argparse.Namespace) -> list[tuple[Shape, str]]:
    """Return the hosts of each world, and its name; of one world where a round is repeated."""
    shape = Shape(
        hosts=options.hosts,
        cluster=options.cluster,
        processes=options.processes,
        backups=not options.no_backups,
        lease=lease(options.ttl),
    )
    if options.world:
        return [(shape, options.world)]
    names = string.ascii_lowercase[: options.worlds] if options.worlds > 1 else [""]
    return [(shape, name) for name in names]


def _campaigns(options: argparse.Namespace, worlds: Sequence[World]) -> list[Campaign]:
    """Return a campaign for each world; the first one alone strikes the servers of all."""
    servers = ServerFaults()
    found = []
    for world in worlds:
        first = world.name in ("", string.ascii_lowercase[0])
        kinds = [one for one in options.only if first or not one.endswith("-server")]
        seed = f"{options.seed} {world.name}" if world.name else options.seed
        found.append(
            Campaign(
                world,
                _plan(options, seed, kinds),
                seed,
                ttl=options.ttl,
                most=options.most,
                rate=options.rate,
                backups=not options.no_backups,
                keep=options.keep and options.keep / world.name,
                keep_all=options.keep_all,
                say=functools.partial(_say_of, world.name),
                servers=servers,
            )
        )
    return found


def _plan(options: argparse.Namespace, seed: int | str, kinds: Sequence[str]) -> Plan:
    sizes = {name: getattr(options, name) for name in ("hosts", "ttl", "size", "every")}
    return Plan(seed, kinds, **sizes)


def _strike(campaigns: Sequence[Campaign], faults: int, minutes: float | None) -> None:
    """Run all campaigns at once; after an interrupt, each to the end of its round."""
    allowance = Allowance(faults, None if minutes is None else minutes * 60)
    with ThreadPoolExecutor(len(campaigns)) as pool:
        running = [pool.submit(_play, campaign, allowance) for campaign in campaigns]
        try:
            wait(running)
        except KeyboardInterrupt:
            allowance.end()


def _play(campaign: Campaign, allowance: Allowance) -> None:
    """Play the rounds of one world; the others go on after an error, which is said at once."""
    try:
        campaign.run(allowance)
    except Exception as error:  # noqa: BLE001 - it is a finding
        campaign.total.findings.append(Finding("stuck", f"a round has no end: {error!r}"))
        _say_of(campaign.world.name, f"a round has no end: {error!r}")


def lease(ttl: float) -> dict[str, float]:
    """Return the options of a lease, in the proportions of the defaults."""
    return {
        "slot_ttl": ttl,
        "slot_renewal": ttl / 5,
        "slot_kill_after": ttl * 2 / 3,
        "slot_takeover_margin": ttl * 2 / 15,
    }


def _report(campaigns: Sequence[Campaign], seconds: float) -> int:
    total = Verdict()
    skipped: dict[str, str] = {}
    for campaign in campaigns:
        total += campaign.total
        skipped |= campaign.skipped
    for kind, reason in sorted(skipped.items()):
        print(f"skipped {kind}: {reason}")
    for kind, count in sorted(total.kinds.items()):
        mine = [one for one in total.takeovers if one.fault == kind and not one.disturbed]
        took = sorted(one.seconds for one in mine)
        shown = f", takeovers {took[0]:.1f} to {took[-1]:.1f} s" if took else ""
        print(f"{kind:<20}{count:>6}{shown}")
    print(f"{total.calls} calls of drivers, {seconds / 60:.1f} min")
    print(json.dumps(total.figures()), flush=True)
    return 0 if total.is_good else 1


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.cluster", description=__doc__)
    parser.add_argument("--faults", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--only", default=",".join(KINDS), help="kinds of faults, by commas")
    parser.add_argument("--minutes", type=float, help="begin no round after so many")
    parser.add_argument("--round", type=int, help="play this round of the seed alone")
    parser.add_argument("--world", default="", help="and of this world of several")
    parser.add_argument("--worlds", type=int, default=3, help="clusters on the same servers")
    parser.add_argument("--upgrade", action="store_true", help="restart each host in turn instead")
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--cluster", default=CLUSTER, help="empty for hosts without a cluster")
    parser.add_argument("--processes", type=int, default=1, help="processes of a backend")
    parser.add_argument("--database", default="mysql", choices=("mysql", "galera", "postgresql"))
    parser.add_argument("--locks", default="redis", choices=("redis", "etcd"))
    parser.add_argument("--broker", default="rabbitmq", choices=("rabbitmq", "quorum"))
    parser.add_argument("--ttl", type=float, default=6.0, help="seconds of a lease (default: 6)")
    parser.add_argument("--size", type=int, default=20, help="faults of a round")
    long = "of so many rounds one begins with a fault that lasts minutes (default: 3)"
    parser.add_argument("--every", type=int, default=EVERY, help=long)
    parser.add_argument("--most", type=int, default=2, help="faults at the same time")
    parser.add_argument("--rate", type=float, default=6.0, help="operations per second")
    parser.add_argument("--no-backups", action="store_true")
    parser.add_argument("--keep", type=Path, help="where histories with findings are left")
    parser.add_argument("--keep-all", action="store_true", help="leave those of all rounds")
    options = parser.parse_args(argv)
    options.only = [kind for kind in options.only.split(",") if kind]
    if unknown := set(options.only) - set(KINDS):
        parser.error(f"unknown kinds: {', '.join(sorted(unknown))}; known: {', '.join(KINDS)}")
    if options.round is not None or options.upgrade:
        options.worlds = 1
    return options


def _say_of(world: str, line: str) -> None:
    _say(f"{world} {line}" if world else line)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
