# SPDX-License-Identifier: Apache-2.0
"""The installation: programs, drivers, files beside the code, and the systemd unit."""

from __future__ import annotations

import ast
import configparser
import itertools
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from worker.conf.check.problems import EXIT_STATUS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = ("worker", "flows", "drivers")
UNIT = ROOT / "etc/systemd/holdfast-volume@.service"
BACKUP_UNIT = ROOT / "etc/systemd/holdfast-backup.service"
AUDIT_UNIT = ROOT / "etc/systemd/holdfast-audit.service"
AUDIT_TIMER = ROOT / "etc/systemd/holdfast-audit.timer"
TIMED = [ROOT / f"etc/systemd/holdfast-backup-{name}.service" for name in ("policy", "scrub")]
NBD_UNIT = ROOT / "etc/systemd/holdfast-nbd@.service"
NBD_SOCKET = ROOT / "etc/systemd/holdfast-nbd.socket"


class Repeating(dict):
    """Options that may stand several times in a unit, as After= does."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


@pytest.fixture
def unit():
    parser = configparser.RawConfigParser(strict=False, dict_type=Repeating)
    parser.optionxform = str
    parser.read(UNIT)
    return parser


@pytest.mark.parametrize(
    "point",
    [
        point
        for group in (
            *("console_scripts", "holdfast.cli"),
            *("holdfast.volume_drivers", "holdfast.backup_drivers"),
        )
        for point in metadata.distribution("holdfast").entry_points.select(group=group)
    ],
    ids=lambda point: f"{point.group}:{point.name}",
)
def test_entry_point_can_be_loaded(point):
    assert callable(point.load())


def test_entry_points_are_those_of_this_checkout():
    wanted = PROJECT["project"]["scripts"]
    installed = metadata.distribution("holdfast").entry_points.select(group="console_scripts")

    assert {point.name: point.value for point in installed} == wanted


def test_files_beside_the_code_exist():
    named = PROJECT["tool"]["setuptools"]["data-files"].values()

    assert [file for files in named for file in files if not (ROOT / file).is_file()] == []


def test_every_package_has_an_init():
    folders = {path.parent for package in OURS for path in (ROOT / package).rglob("*.py")}
    bare = {folder for folder in folders if not (folder / "__init__.py").exists()}

    assert {folder for folder in bare if "migrations" not in folder.parts} == set()


def test_what_is_imported_is_declared():
    extras = PROJECT["project"]["optional-dependencies"]
    names = (
        "attach",
        "cinder",
        "conformance",
        "encryption",
        "glance",
        "otel",
        "s3",
        "signatures",
        "swift",
    )
    lazy = [line for extra in names for line in extras.get(extra, ())]
    declared = {name(line) for line in [*PROJECT["project"]["dependencies"], *lazy]}
    owners = metadata.packages_distributions()
    imported = {
        top
        for package in OURS
        for path in (ROOT / package).rglob("*.py")
        for top in imports(path)
        if top not in sys.stdlib_module_names and top not in OURS
    }

    # Neither Cinder nor the library of its objects is installed for these tests.
    owners.setdefault("cinder", ["cinder"])
    owners.setdefault("oslo_versionedobjects", ["oslo.versionedobjects"])
    undeclared = {top for top in imported if not declared & {name(o) for o in owners.get(top, ())}}
    assert undeclared == set()


def test_libraries_with_used_private_parts_have_an_upper_bound():
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["cinder"], *extras["s3"]]
    wanted += extras["encryption"]
    bounded = {name(line) for line in wanted if "<" in line}
    used = {path.stem for package in OURS for path in (ROOT / package / "compat").glob("*.py")}
    used -= {"__init__", "native_threads", "libc"}  # the last one is no package

    assert len(used) >= 6
    assert {library for library in used if name(library) not in bounded} == set()


def test_nothing_declared_is_compiled_at_the_installation():
    # It ships no wheel, and a fresh machine has neither a compiler nor its headers.
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *itertools.chain(*extras)]

    assert {"psycopg2", "mysqlclient"} & {name(line) for line in wanted} == set()
    assert not any("taskflow[database]" in line for line in wanted)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def name(requirement):
    """Return the normalized name of the distribution in a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    source.mkdir()
    for package in (*OURS, "etc", "tests"):
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("setup.py", "pyproject.toml", "README.rst", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", str(place)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    [made] = place.glob("*.whl")
    return made


def test_wheel_holds_the_code_and_of_the_tests_the_suite_for_drivers(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    code = {str(path.relative_to(ROOT)) for top in OURS for path in (ROOT / top).rglob("*.py")}
    suite = {name for name in names if name.startswith("holdfast_conformance/")}
    assert tops == {
        *OURS,
        "holdfast_conformance",
        "holdfast-0.1.0.dist-info",
        "holdfast-0.1.0.data",
    }
    assert code <= set(names)
    assert not any("/own/" in name or "/planted/" in name for name in suite)
    assert "holdfast_conformance/conftest.py" in suite
    assert any(name.endswith("share/holdfast/holdfast.conf.sample") for name in names)
    assert "worker/conf/cinder/options.json" in names


def test_installed_suite_runs_over_a_driver_outside(wheel, tmp_path):
    (tmp_path / "site").mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    document = (ROOT / "docs/drivers.rst").read_text()
    block = re.search(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", document)[1]
    (tmp_path / "outside.py").write_text(textwrap.dedent(block))
    (tmp_path / "volumes").mkdir()
    script = "import sys; from worker.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-W", "ignore", "-c", script, "driver", "test"]

    done = subprocess.run(
        [*command, "outside.ExampleDriver", f"--option=example_path={tmp_path}/volumes"]
        + ["--only=TestDeleteVolume or TestCreateVolume"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert str(ROOT) not in done.stdout
    assert re.search(r"tests: [1-9]\d passed, 0 failed", done.stdout), done.stdout


def test_unit_notifies_restarts_and_drains(unit):
    service = unit["Service"]

    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 10
    assert service["Restart"] == "always"
    assert service["KillMode"] == "mixed"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert re.search(r"/holdfast-volume .*--backend %i$", service["ExecStart"])


def test_unit_waits_longer_than_the_service_drains(unit):
    from cotyledon.oslo_config_glue import service_opts

    [drain] = [o.default for o in service_opts if o.dest == "graceful_shutdown_timeout"]

    assert int(unit["Service"]["TimeoutStopSec"]) > drain


@pytest.mark.parametrize("unit", [UNIT, BACKUP_UNIT], ids=lambda unit: unit.stem)
def test_a_refused_configuration_is_not_started_again(unit):
    assert f"\nRestartPreventExitStatus={EXIT_STATUS}\n" in unit.read_text()


@pytest.mark.parametrize("unit", [UNIT, BACKUP_UNIT], ids=lambda unit: unit.stem)
def test_threads_that_wait_keep_no_freed_memory(unit):
    assert "\nEnvironment=GLIBC_TUNABLES=glibc.malloc.tcache_count=0\n" in unit.read_text()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize(
    "unit", [UNIT, BACKUP_UNIT, NBD_UNIT, AUDIT_UNIT, *TIMED], ids=lambda unit: unit.stem
)
def test_systemd_accepts_the_unit(tmp_path, unit):
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    instance = tmp_path / unit.name.replace("@", "@b1")
    instance.write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", str(instance)], capture_output=True, text=True, check=False
    )

    assert instance.name not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_timer_starts_the_audit_of_the_user_of_the_service(unit):
    assert AUDIT_TIMER.stem == AUDIT_UNIT.stem
    assert "\nOnCalendar=daily\n" in AUDIT_TIMER.read_text()
    text = AUDIT_UNIT.read_text()
    assert f"\nUser={unit['Service']['User'].strip()}\n" in text
    program = re.search(r"^ExecStart=(\S+) .* audit$", text, re.MULTILINE)[1]
    assert Path(program).name in PROJECT["project"]["scripts"]
    # Status 1 says that drift was found, which is no failure of the unit.
    assert "\nSuccessExitStatus=1\n" in text


def test_logging_configuration_is_accepted(tmp_path):
    config = tmp_path / "holdfast.conf"
    config.write_text(f"[DEFAULT]\nlog_config_append = {ROOT / 'etc/holdfast/logging.conf'}\n")
    script = (
        "import logging, sys; from oslo_log import log; from worker import conf;"
        "log.setup(conf.load(sys.argv[1:], prog='p'), 'holdfast');"
        "logging.getLogger('worker.x').info('shown');"
        "logging.getLogger('amqp').warning('hidden')"
    )

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, "--config-file", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert re.search(r" INFO worker\.x \[.*\] shown$", done.stderr.strip())


def test_servers_of_exports_are_units_that_no_stop_of_the_service_ends(unit):
    assert "holdfast-nbd.socket" in " ".join(unit["Unit"]["Wants"].splitlines())
    binding = ("PartOf", "BindsTo", "Requires", "StopPropagatedFrom")
    text = NBD_UNIT.read_text() + NBD_SOCKET.read_text()
    assert [name for name in binding if f"\n{name}=" in text] == []
    started = re.search(r"^ExecStart=(\S+)$", NBD_UNIT.read_text(), re.MULTILINE)[1]
    assert Path(started).name in PROJECT["project"]["scripts"]


def test_the_driver_connects_to_the_socket_of_the_unit():
    from drivers.volume.local import LocalDriver

    (option,) = [one for one in LocalDriver.OPTS if one.dest == "local_nbd_socket"]

    assert f"\nListenStream={option.default}\n" in NBD_SOCKET.read_text()
    assert "\nAccept=yes\n" in NBD_SOCKET.read_text()


def test_only_the_user_of_the_service_reaches_the_socket(unit):
    user = unit["Service"]["User"].strip()

    assert f"\nSocketUser={user}\n" in NBD_SOCKET.read_text()
    assert "\nSocketMode=0600\n" in NBD_SOCKET.read_text()
    assert f"\nUser={user}\n" in NBD_UNIT.read_text()
