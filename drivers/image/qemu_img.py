# SPDX-License-Identifier: Apache-2.0
"""Convert images with qemu-img, under limits, and never longer than we live ourselves."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import select
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oslo_utils import units

from drivers.bound_programs import binding
from drivers.interface.errors import ImageCopyFailure, ImageUnacceptable
from drivers.interface.pace import Pace

PROGRAM = "qemu-img"
_ROUND = 0.2
"""Seconds between two checks whether the copy is to end."""

_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}
"""glibc reserves 64 MiB of address space for each of up to eight arenas for a processor, and QEMU
has dozens of threads: without this a correct image exceeds the limit of it at times."""

_SOURCE_OPTIONS = {"vpc": ("force_size_calc=current_size",)}
"""Options with which a format is read: a VHD is as large as it says, whatever program made it."""

_PROGRESS = re.compile(rb"\((\d+\.\d+)/100%\)")
_OUTPUT_MAX = 4096
_DESCRIPTION_MAX = units.Mi


@dataclass(frozen=True)
class ConversionLimits:
    """Resource limits of one conversion.

    :param address_space: memory, in GiB.
    :param cpu: time of the processor, in seconds for each GiB of the disk.
    """

    address_space: int = 1
    cpu: int = 60

    def of(self, disk: int) -> ConversionLimits:
        """Return the limits of the conversion of a disk of so many bytes."""
        return replace(self, cpu=self.cpu * max(1, math.ceil(disk / units.Gi)))


def convert(
    source: Path,
    source_format: str,
    target: Path,
    target_format: str,
    limits: ConversionLimits,
    pace: Pace,
    *,
    in_place: bool = False,
    options: Sequence[str] = (),
    compress: bool = False,
) -> None:
    """Convert a file or device into another one.

    The formats are named: guessed, the content could choose its own.

    :param limits: of this conversion, whatever the size of the disk.
    :param in_place: the target is there and keeps its length.
    :param options: of the target's format, as ``name=value``.
    :param compress: whether the data in the target is compressed.
    :raises ImageUnacceptable: the program refuses the image, or needs more than it may.
    :raises ImageCopyFailure: it cannot be run.
    """
    read_as, address = _source(source, source_format)
    command = [
        *_program(limits),
        *("convert", "-p", *read_as, "-O", target_format),
        *(["-n"] if in_place else []),
        *(["-c"] if compress else []),
        *(["-o", ",".join(options)] if options else []),
        *(address, _address(target)),
    ]
    _run(command, source.name, limits, pace)


def require_disk(
    source: Path, source_format: str, size: int, limits: ConversionLimits, pace: Pace
) -> None:
    """Require that QEMU takes an image for a disk of a size, and for one without another file.

    :raises ImageUnacceptable: the program has read another header than our parser.
    :raises ImageCopyFailure: it cannot be run.
    """
    read_as, address = _source(source, source_format)
    command = [*_program(limits), "info", "--output=json", *read_as, address]
    try:
        known = json.loads(_run(command, source.name, limits, pace, _DESCRIPTION_MAX))
    except (ValueError, RecursionError) as error:
        raise ImageUnacceptable(f"{PROGRAM} does not describe {source.name}: {error}") from error
    found = known.get("virtual-size")
    if found != size or "backing-filename" in known:
        text = f"a disk of {found} bytes, not {size}, or one with a backing file"
        raise ImageUnacceptable(f"{PROGRAM} takes {source.name} for {text}")


def _program(limits: ConversionLimits) -> list[str]:
    """Return the program, bound to this process and its limits."""
    if shutil.which(PROGRAM) is None:
        text = f"{PROGRAM} is not installed (Debian: qemu-utils, Fedora: qemu-img)"
        raise ImageCopyFailure(text)
    # Ends with us: on its own it would write into a volume that is no longer ours.
    limited = ("prlimit", f"--as={limits.address_space * units.Gi}", f"--cpu={limits.cpu}")
    return [*binding(), *limited, "--core=0", PROGRAM]


def _source(path: Path, source_format: str) -> tuple[list[str], str]:
    """Return the options for reading an image, and its address for them."""
    options = _SOURCE_OPTIONS.get(source_format)
    if options is None:
        return ["-f", source_format], _address(path)
    name = str(path.absolute()).replace(",", ",,")
    parts = f"driver={source_format}", *options, "file.driver=file", f"file.filename={name}"
    return ["--image-opts"], ",".join(parts)


def _address(path: Path) -> str:
    """Return a path with its protocol, so that no name is taken for another protocol."""
    # QEMU's driver "file" refuses block devices.
    protocol = "host_device" if path.is_block_device() else "file"
    return f"{protocol}:{path.absolute()}"


def _run(
    command: list[str],
    label: str,
    limits: ConversionLimits,
    pace: Pace,
    output_max: int = _OUTPUT_MAX,
) -> bytes:
    """Run the program; return the end of its output."""
    try:
        process = subprocess.Popen(
            command,
            cwd="/",
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise ImageCopyFailure(f"{command[0]} cannot be run: {error}") from error
    try:
        output = _watch(process, pace, output_max)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    if process.returncode:
        text = f"{PROGRAM} does not convert {label}: {_reason(output, process.returncode)}"
        bounds = f"image_conversion_cpu_limit: {limits.cpu} s for all of it"
        space = f"image_conversion_address_space_limit: {limits.address_space} GiB"
        raise ImageUnacceptable(f"{text} (with {bounds}, {space})")
    return output


def _watch(process: subprocess.Popen[bytes], pace: Pace, output_max: int) -> bytes:
    """Wait for the end, report the progress, and return the output."""
    assert process.stdout is not None
    fd, output, done = process.stdout.fileno(), b"", 0.0
    while True:
        with pace.waiting():
            if not select.select([fd], [], [], _ROUND)[0]:
                chunk: bytes | None = None
            else:
                chunk = os.read(fd, 4096)
                if not chunk:
                    process.wait()
        if chunk == b"":
            return output
        output = (output + (chunk or b""))[-output_max:]
        if found := _PROGRESS.findall(output):
            done = min(1.0, float(found[-1]) / 100)
        pace.progress(done)


def _reason(output: bytes, code: int) -> str:
    lines = [line for line in re.split(rb"[\r\n]+", output) if line and not _PROGRESS.search(line)]
    if lines:
        return lines[-1].decode(errors="replace")
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with {code}"
