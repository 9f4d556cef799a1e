# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.faults.kill``: the whole campaign, or one strike of it again."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from worker.compat import native_threads  # noqa: F401  # isort: skip

from tests.faults.kill import backup_world, cases
from tests.faults.kill.campaign import BATCH, Campaign, Strike, Tally
from tests.faults.kill.case import Case
from tests.faults.kill.put_back import Figures, PutBack, Result
from tests.faults.kill.world import World
from tests.servers import Servers

FRONTS = ((World, cases.CASES), (backup_world.BackupWorld, backup_world.CASES))
"""The service under attack, and its operations."""


def main(argv: list[str] | None = None) -> int:
    """Strike, print the results, and return the number of strikes that were not survived."""
    options = _options(argv)
    print(f"seed {options.seed}", flush=True)
    began, total, ways = time.monotonic(), Tally(), 0
    put_back = Figures()
    with Servers() as servers:
        for kind, known in FRONTS:
            some = [case for case in known if options.only in case.name]
            replay = None
            if options.replay:
                some = [case for case in known if case.name == json.loads(options.replay)[0]]
                replay = Strike.from_json(options.replay, some[0]) if some else None
            if some:
                campaign = _fight(kind, servers, some, replay, options, put_back)
                total.verdicts += campaign.tally.verdicts
                ways += len(campaign.known)
    return _report(total, put_back, ways, time.monotonic() - began)


def _fight(
    kind: type[World],
    servers: Servers,
    some: list[Case],
    replay: Strike | None,
    options: argparse.Namespace,
    put_back: Figures,
) -> Campaign:
    with tempfile.TemporaryDirectory(prefix="hfk-", dir="/tmp") as name:
        world = kind(servers, Path(name))
        try:
            world.start()
            campaign = Campaign(world, random.Random(options.seed), _say)
            campaign.discover(some)
            if not replay:
                put_back.results += _put_back(campaign, options)
            if options.axis == "put-back":
                return campaign
            campaign.run([replay] if replay else campaign.singles())
            if not options.singles and not replay:
                pairs = campaign.pairs()
                random.Random(options.seed).shuffle(pairs)
                campaign.run(pairs[: options.pairs])
        finally:
            world.close()
            if options.log:
                options.log.write_text(world.service.text())
    return campaign


def _put_back(campaign: Campaign, options: argparse.Namespace) -> list[Result]:
    if options.axis == "kill":
        return []
    axis = PutBack(campaign)
    axis.run(axis.states(), random.Random(options.seed), BATCH)
    for result in axis.figures.bad():
        _say(result.shown())
    _say(f"journal put back: {json.dumps(axis.figures.counts())}")
    return axis.figures.results


def _report(tally: Tally, put_back: Figures, ways: int, seconds: float) -> int:
    print("\n".join(tally.table()))
    bad = [*tally.bad(), *put_back.bad()]
    if bad:
        print(f"\n{bad[0].shown()}")
    count = sum(len(known) for _kind, known in FRONTS)
    text = f"{count} operations, {ways} ways, {seconds:.0f} s"
    print(f"\n{text}; {tally.missed} strikes came after the end and do not count")
    print(json.dumps({"kill": tally.figures(), "journal put back": put_back.counts()}))
    return 1 if bad else 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--only", default="", help="operations whose name contains this")
    parser.add_argument("--axis", choices=("all", "kill", "put-back"), default="all")
    parser.add_argument("--singles", action="store_true", help="one kill each, no pairs")
    parser.add_argument("--pairs", type=int, default=1_000_000, help="pairs at most")
    parser.add_argument("--replay", help="one strike, as a failure has printed it")
    parser.add_argument("--log", type=Path, help="where to leave the service's log")
    return parser.parse_args(argv)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
