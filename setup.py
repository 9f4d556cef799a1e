# SPDX-License-Identifier: Apache-2.0
"""The packages of the wheel; everything else is in pyproject.toml.

The conformance suite lies among the tests. The wheel has it as holdfast_conformance, so that
authors of drivers can run it, without the cases of our own drivers.
"""

from setuptools import find_packages, setup

SUITE = "tests/conformance"
NAME = "holdfast_conformance"
OURS = ("own", "planted")

parts = [name for name in find_packages(SUITE) if name.partition(".")[0] not in OURS]

setup(
    packages=[
        *find_packages(include=["worker*", "flows*", "drivers*"]),
        NAME,
        *(f"{NAME}.{part}" for part in parts),
    ],
    package_dir={NAME: SUITE},
)
