# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.faults``: the whole campaign, some of its axes, or one strike again."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from worker.compat import native_threads  # noqa: F401  # isort: skip

from tests.faults.kill import backup_world
from tests.faults.kill.axes.axis import Axis
from tests.faults.kill.axes.every_axis import AXES
from tests.faults.kill.axes.kill import Kill
from tests.faults.kill.campaign import Campaign
from tests.faults.kill.cases import every_case as cases
from tests.faults.kill.cases.case import Case
from tests.faults.kill.verdict import Strike, Tally
from tests.faults.kill.world import World
from tests.servers import Servers

FRONTS = {
    "volume": (World, cases.CASES),
    "backup": (backup_world.BackupWorld, backup_world.CASES),
}
"""The service under attack, and its operations."""


def main(argv: list[str] | None = None) -> int:
    """Strike, print the results, and return 1 if any strike was not survived."""
    options = _options(argv)
    print(f"seed {options.seed}", flush=True)
    began, total, ways = time.monotonic(), Tally(), 0
    with Servers() as servers:
        for front in options.front or FRONTS:
            kind, known = FRONTS[front]
            some = [case for case in known if options.only in case.name]
            replay = Strike.from_json(options.replay, known) if options.replay else None
            if options.replay:
                some = [replay.way.case] if replay else []
            if some:
                campaign = _fight(kind, servers, some, replay, options)
                total.verdicts += campaign.tally.verdicts
                ways += len(campaign.known)
    return _report(total, ways, time.monotonic() - began)


def _fight(
    kind: type[World],
    servers: Servers,
    some: Sequence[Case],
    replay: Strike | None,
    options: argparse.Namespace,
) -> Campaign:
    with tempfile.TemporaryDirectory(prefix="hfk-", dir="/tmp") as name:
        world = kind(servers, Path(name))
        try:
            world.start()
            campaign = Campaign(world, random.Random(options.seed), _say)
            if replay:
                campaign.learn([replay.way])
                campaign.run(AXES[replay.axis](campaign), [replay])
                return campaign
            campaign.discover(some)
            for name in options.axis:
                _run(AXES[name](campaign), options)
        finally:
            world.close()
            if options.log:
                options.log.write_text(world.service.text())
    return campaign


def _run(axis: Axis, options: argparse.Namespace) -> None:
    campaign, began = axis.campaign, time.monotonic()
    strikes = axis.strikes()
    _say(f"{axis.name}: {len(strikes)} points")
    campaign.run(axis, _some(strikes, options.points, options.seed))
    if isinstance(axis, Kill) and axis.has_pairs and not options.singles:
        campaign.run(axis, _some(axis.pairs(), options.pairs, options.seed))
    figures = campaign.tally.figures(axis.name)
    minutes = (time.monotonic() - began) / 60
    rate = figures["points"] / minutes
    _say(f"{axis.name}: {json.dumps(figures)} in {minutes:.1f} min, {rate:.0f} a minute")


def _some(strikes: list[Strike], most: int | None, seed: int) -> list[Strike]:
    """Return so many strikes, a random choice."""
    if most is None or most >= len(strikes):
        return strikes
    return random.Random(seed).sample(strikes, most)


def _report(tally: Tally, ways: int, seconds: float) -> int:
    print("\n".join(tally.table()))
    bad = tally.bad()
    if bad:
        print(f"\n{len(bad)} violations, the first one: {bad[0].shown()}")
    count = sum(len(known) for _kind, known in FRONTS.values())
    text = f"{count} operations, {ways} ways, {seconds:.0f} s"
    print(f"\n{text}; {tally.missed} strikes came after the end and do not count")
    figures = {axis: tally.figures(axis) for axis in tally.axes}
    print(json.dumps({**figures, "total": tally.figures()}))
    return 1 if bad else 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--only", default="", help="operations whose name contains this")
    parser.add_argument(
        "--axis", action="append", choices=("all", *AXES), help="may be repeated; all by default"
    )
    parser.add_argument("--front", action="append", choices=tuple(FRONTS), help="both by default")
    parser.add_argument("--points", type=int, help="so many random points of each axis and front")
    parser.add_argument("--singles", action="store_true", help="one kill each, no pairs")
    parser.add_argument("--pairs", type=int, help="pairs of kills at most")
    parser.add_argument("--replay", help="one strike, as a failure has printed it")
    parser.add_argument("--log", type=Path, help="where to leave the service's log")
    options = parser.parse_args(argv)
    if not options.axis or "all" in options.axis:
        options.axis = list(AXES)
    return options


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
