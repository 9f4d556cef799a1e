# SPDX-License-Identifier: Apache-2.0
"""holdfast driver: run the conformance suite over a driver."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worker.cli.access import Command, CommandError

_INSTALLED = "holdfast_conformance"
_CHECKOUT = Path(__file__).parents[2] / "tests" / "conformance"

_SECONDS = 600
"""A test that takes longer hangs."""


class Test(Command):
    """Run the conformance suite over a volume, backup, image or export driver.

    PATH is an entry point, MODULE.CLASS or FILE.py:CLASS; modules of the current directory are
    found. Each test is also run with kills within the calls of the driver, and with other calls
    at the same time. Exit status 1 when a test failed, or when little was tested. The driver
    needs a backend that is used for nothing else meanwhile.
    """

    __test__ = False  # no class of tests for pytest

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the driver, its options, and the helpers of the suite."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add = parser.add_argument
        add("path", metavar="PATH", help="entry point, MODULE.CLASS or FILE.py:CLASS")
        add(
            "--kind",
            choices=["backup", "export", "image", "volume"],
            help="kind of driver, where PATH leaves it open, as for a function",
        )
        repeated: dict[str, Any] = {"action": "append", "default": []}
        add("--option", metavar="KEY=VALUE", help="option of the driver", **repeated)
        add("--device", metavar="MODULE:CALLABLE", help="opens volumes of other protocols")
        add("--foreign", metavar="MODULE:CALLABLE", help="makes objects that are not managed")
        add("--inventory", metavar="MODULE:CALLABLE", help="lists all objects of the backend")
        add("--ignore-file", metavar="PATTERN", help="files that stay for good", **repeated)
        add("--modes", help="plain, killed, 'at once', separated by commas; all by default")
        add("--points", type=int, help="points of a call at which it is killed; 12 by default")
        add("--only", metavar="EXPRESSION", help="tests whose names fit, as for pytest -k")
        add(
            "--timeout",
            type=int,
            default=_SECONDS,
            metavar="SECONDS",
            help=f"seconds after which a test is ended and has failed; {_SECONDS} by default",
        )
        add("--require", action="store_true", help="count skipped tests as failed")
        add("--allow-skip", metavar="PATTERN", help="accepted reasons of skips", **repeated)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Run the tests."""
        if importlib.util.find_spec("pytest") is None:
            raise CommandError("pytest is not installed: pip install 'holdfast[conformance]'")
        _require_no_other_modules()
        command = [sys.executable, "-m", "pytest", *_own_arguments(), *_passed_on(parsed_args)]
        with tempfile.NamedTemporaryFile("r", prefix="holdfast-", encoding="utf-8") as running:
            command.append(f"--running-file={running.name}")
            status = subprocess.run(command, check=False).returncode
            if test := running.read():
                self.write("")  # after the dots of the tests
                raise CommandError(_ended(test, status))
        return status


def _require_no_other_modules() -> None:
    """Refuse a directory whose modules hide others, as Python searches it first.

    :raises CommandError: with the name.
    """
    here = Path.cwd()
    hidden = {file.stem: file for file in here.glob("*.py") if file.stem in _STANDARD}
    if here != Path(__file__).parents[2]:
        places = [here / name for name in ("drivers", "flows", "worker")]
        found = [*places, *(place.with_suffix(".py") for place in places)]
        hidden |= {one.stem: one for one in found if one.exists()}
    for name, path in sorted(hidden.items()):
        raise CommandError(
            f"{path} hides the module {name} of Python or Holdfast: rename it, or run the command"
            " in another directory"
        )


_STANDARD = sys.stdlib_module_names - {"test", "this"}


def _ended(test: str, status: int) -> str:
    """Return the text for a process that ended before its tests."""
    how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    name = test.rpartition("/")[2]
    return f"not conformant: the driver ended the process of the suite ({how}) in {name}"


def suite() -> Path:
    """Return the directory of the suite: in the wheel, or in the checkout.

    :raises CommandError: it is in neither.
    """
    spec = importlib.util.find_spec(_INSTALLED)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    if not _CHECKOUT.is_dir():
        raise CommandError(f"the package {_INSTALLED} is missing: install Holdfast again")
    return _CHECKOUT


def _own_arguments() -> Iterator[str]:
    """Yield arguments that keep the configuration of other projects out of the run."""
    place = suite()
    yield str(place)
    yield f"--rootdir={place}"
    yield from ("-c", "/dev/null", "-p", "no:cacheprovider", "-q", "--tb=short")
    yield from ("-p", "worker.compat.native_threads")  # before anything of oslo


def _passed_on(parsed_args: argparse.Namespace) -> Iterator[str]:
    yield f"--driver={parsed_args.path}"
    yield from ("-o", f"timeout={parsed_args.timeout}")
    for name, option in (("option", "driver-option"), ("allow_skip", "allow-skip")):
        yield from (f"--{option}={value}" for value in getattr(parsed_args, name))
    yield from (f"--ignore-file={value}" for value in parsed_args.ignore_file)
    for name in ("kind", "device", "foreign", "inventory", "modes", "points"):
        if (value := getattr(parsed_args, name)) is not None:
            yield f"--{name}={value}"
    if parsed_args.only:
        yield from ("-k", parsed_args.only)
    if parsed_args.require:
        yield "--require"
