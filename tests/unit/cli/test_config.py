# SPDX-License-Identifier: Apache-2.0
"""``holdfast config check --cinder``: the migration report of files as they are in the field."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from oslo_config import cfg

from drivers.backup.ceph import binding
from tests.servers import until
from tests.unit.cli.conftest import Ran
from worker.cli.main import Holdfast
from worker.conf import backends
from worker.conf.check import packages, urls

FILES = Path(__file__).parents[1] / "conf/cinder"

SECTIONS = (
    *("Backends", "Backups", "To change before the move", "Done otherwise, or without effect"),
    *("Unknown", "Taken over as they are", "For others, not looked at", "Next"),
)


@pytest.fixture
def check(tmp_path, monkeypatch):
    """A function that runs the command on one of the files; libraries are taken as installed."""
    monkeypatch.setattr(Holdfast, "configure_logging", lambda self: None)
    monkeypatch.setattr(urls, "_installed", lambda address, group: None)

    def check(name, *words, change=lambda text: text, called="cinder.conf") -> Ran:
        place = tmp_path / called
        place.parent.mkdir(exist_ok=True)
        place.write_text(change((FILES / name).read_text()))
        app = Holdfast()
        app.stdout = io.StringIO()
        status = app.run(["config", "check", *words, str(place)])
        return Ran(status, app.stdout.getvalue(), [])

    yield check
    cfg.CONF.reset()


@pytest.fixture
def served(monkeypatch):
    """Drivers of Cinder are taken as installed."""
    from drivers.volume.noop import NoopDriver

    monkeypatch.setattr(backends, "driver_class", lambda conf, name: NoopDriver)


def parts(ran):
    """Return the lines of each part of a report, by its heading without the count."""
    found, lines = {}, []
    for line in ran.out.splitlines():
        if line and not line.startswith(" "):
            lines = found.setdefault(line.partition(" (")[0], [])
        elif line:
            lines.append(line.strip())
    return found


def places(lines):
    """Return the places that a part names: line, section, option."""
    heads = [line.partition("  ") for line in lines if line.startswith("cinder.conf:")]
    return [(int(place.partition(":")[2]), *name.split()) for place, _, name in heads]


def test_parts_stand_in_the_order_in_which_they_are_read(check):
    found = list(parts(check("old.conf", "--cinder")))

    assert found[0].startswith("From Cinder 29.0.0 to Holdfast ")
    assert found[1:] == list(SECTIONS)


def test_backends_and_what_serves_them_come_first(check, served):
    found = parts(check("kolla.conf", "--cinder"))

    assert found["Backends"] == [
        "lvm-1  LVMVolumeDriver  Cinder's driver, through the adapter",
        "rbd-1  RBDDriver        Cinder's driver, through the adapter",
    ]
    assert found["Backups"] == ["ceph, a driver of Holdfast"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("kolla.conf", []),
        ("devstack.conf", []),
        ("packaged.conf", []),
        ("old.conf", [(40, "[array]", "volume_copy_bps_limit")]),
    ],
)
def test_what_prevents_the_move_is_named_and_ends_in_1(check, served, name, wanted):
    ran = check(name, "--cinder")

    assert places(parts(ran).get("To change before the move", [])) == wanted
    assert ran.status == (1 if wanted else 0)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("kolla.conf", [(14, "[DEFAULT]", "os_region_name"), (37, "[oslo_messaging_rabbit]")]),
        ("devstack.conf", []),
        ("packaged.conf", [(4, "[DEFAULT]", "api_paste_confg"), (5, "[DEFAULT]", "iscsi_helper")]),
        ("old.conf", [(3, "[DEFAULT]", "verbose"), (7, "[DEFAULT]", "rpc_backend")]),
    ],
)
def test_only_what_cinder_does_not_know_is_unknown(check, name, wanted):
    found = sorted(places(parts(check(name, "--cinder")).get("Unknown", [])))

    assert [place[: len(known)] for place, known in zip(found, wanted, strict=False)] == wanted


@pytest.mark.parametrize("name", ["kolla.conf", "devstack.conf", "packaged.conf", "old.conf"])
def test_the_rest_is_counted(check, served, name):
    ran = check(name, "--cinder")
    counts = [line for line in ran.out.splitlines() if line.startswith(("Taken", "For others"))]

    assert [int(line.rpartition("(")[2].rstrip(")")) > 5 for line in counts] == [True, True]


@pytest.mark.skipif(importlib.util.find_spec("cinder") is not None, reason="Cinder is here")
def test_cinders_driver_without_cinder_says_how_to_get_it(check):
    found = " ".join(parts(check("packaged.conf", "--cinder"))["To change before the move"])

    assert "[lvm] volume_driver" in found
    assert "pip install 'holdfast[cinder]'" in found


def test_what_is_ready_ends_in_0_with_the_steps(check, served, tmp_path):
    ran = check("packaged.conf", "--cinder")
    steps = "\n".join(parts(ran)["Next"])

    assert ran.status == 0
    assert f"holdfast-volume --config-file {tmp_path}/cinder.conf" in " ".join(steps.split())
    assert "Stop cinder-volume" in steps


def test_what_is_accepted_does_not_prevent_the_move(check, served):
    def accept(text):
        accepted = "[DEFAULT]\naccept_unsupported = volume_copy_bps_limit"
        return text.replace("[DEFAULT]", accepted, 1)

    ran = check("old.conf", "--cinder", change=accept)

    assert ran.status == 0
    assert "To change before the move" not in parts(ran)
    assert (41, "[array]", "volume_copy_bps_limit") in places(
        parts(ran)["Done otherwise, or without effect"]
    )


def test_defaults_that_hold_are_told(check, served):
    taken = " ".join(parts(check("kolla.conf", "--cinder"))["Taken over as they are"])

    assert (
        taken == "and, as Cinder's defaults: state_path = /var/lib/cinder, image_service = glance"
    )


def test_a_name_that_is_not_cinders_is_told(check, served):
    ran = check("packaged.conf", "--cinder", called="other.conf")

    assert "so where defaults differ ours hold" in " ".join(ran.out.split())


def test_lines_fit_a_terminal_and_commands_stay_together(check, tmp_path):
    shown = "".join(check(name, "--cinder").out for name in ("devstack.conf", "old.conf"))
    lines = shown.replace(str(tmp_path), "").splitlines()

    assert [line for line in lines if len(line) > 88] == []
    assert any("accept_unsupported = volume_copy_bps_limit" in line for line in lines)


def test_passwords_are_not_shown(check):
    for name in ("kolla.conf", "devstack.conf", "packaged.conf", "old.conf"):
        out = check(name, "--cinder").out + check(name).out
        assert "secret" not in out and "00112233" not in out


def test_a_file_that_cannot_be_read_is_one_point(check):
    ran = check("packaged.conf", "--cinder", change=lambda text: text + "\n[oops\n")

    assert ran.status == 1
    assert "Invalid section" in ran.out


def test_without_the_report_every_problem_is_a_line(check, served):
    ran = check("old.conf")
    lines = ran.out.splitlines()

    assert ran.status == 1
    assert [line for line in lines if line.startswith("error: ")][0].endswith(
        "(or else: accept_unsupported = volume_copy_bps_limit)"
    )
    assert all(line.startswith(("error: ", "warning: ")) for line in lines)


def test_files_of_this_kind_pass_the_start(served, tmp_path, monkeypatch):
    """A configuration that the report calls ready is not refused."""
    from worker import conf as config

    monkeypatch.setattr(urls, "_installed", lambda address, group: None)
    place = tmp_path / "cinder.conf"
    shutil.copy(FILES / "packaged.conf", place)

    conf = config.load(["--config-file", str(place)], prog="holdfast-volume")
    warnings = config.reviewed(conf, "volume", backends.enabled(conf))
    cfg.CONF.reset()

    assert len(warnings) == 4


def with_backend(text):
    """Return a change that replaces the backend of a packaged file."""
    return lambda whole: whole.partition("[lvm]")[0] + f"[lvm]\n{text}\n"


def test_all_missing_packages_are_one_command(check, monkeypatch):
    missing = {"cinder", "keystoneauth1", "swiftclient", "etcd3gw", "pymysql"}
    monkeypatch.setattr(packages, "_is_missing", lambda name: packages._MODULES[name] in missing)
    more = (
        "[coordination]\nbackend_url = etcd3+http://controller:2379\n[nova]\nauth_type = password\n"
    )
    steps = " ".join(
        parts(check("packaged.conf", "--cinder", change=lambda text: text + more))["Next"]
    )

    assert "pip install 'holdfast[cinder,glance,nova,swift,mysql]' etcd3gw" in steps


def test_missing_bindings_of_ceph_are_packages_of_the_distribution(check, monkeypatch, served):
    text = binding.MISSING.format(reason="no module rbd")
    monkeypatch.setattr(binding, "missing", lambda: text)

    found = parts(check("kolla.conf", "--cinder"))

    shown = " ".join(found["To install before the move"])
    assert "no module rbd): install the packages python3-rados and python3-rbd" in shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("packaged.conf", "swiftclient is not installed: pip install 'holdfast[swift]'"),
        ("charm.conf", "boto3 is not installed: pip install 'holdfast[s3]'"),
        ("charm.conf", "[cinder-ceph] volume_driver Ceph's bindings for Python cannot be"),
    ],
)
def test_drivers_that_would_not_come_up_are_named(check, monkeypatch, served, name, text):
    """A service starts without these packages, and its operations fail."""
    gone = ("swiftclient", "boto3")
    monkeypatch.setattr(packages, "_is_missing", lambda one: packages._MODULES[one] in gone)
    monkeypatch.setattr(binding, "missing", lambda: binding.MISSING.format(reason="x"))
    named = {"charm.conf": lambda whole: whole.partition("[coordination]")[0]}.get(name, str)

    report, lines = (check(name, *words, change=named) for words in (["--cinder"], []))
    assert text in " ".join(parts(report)["To install before the move"])
    assert (text.partition("volume_driver ")[2] or text) in lines.out
    assert lines.status == 0 and "error: " not in lines.out


def test_a_command_is_not_broken_over_lines(check, monkeypatch, served):
    monkeypatch.setattr(packages, "_is_missing", lambda name: name == "redis")

    assert "     pip install redis\n" in check("kolla.conf", "--cinder").out


def test_nothing_is_to_be_installed_where_nothing_is_missing(check, monkeypatch, served):
    monkeypatch.setattr(packages, "_is_missing", lambda name: False)

    assert "pip install" not in check("packaged.conf", "--cinder").out


@pytest.mark.parametrize("driver", ["swift", "swift.SwiftBackupDriver"])
def test_a_store_is_known_by_its_module_and_by_its_class(check, served, driver):
    own = f"backup_swift_auth = single_user\nbackup_driver = cinder.backup.drivers.{driver}"
    ran = check("packaged.conf", "--cinder", change=lambda t: t.replace("verbose = True", own))

    assert parts(ran)["Backups"] == ["swift, a driver of Holdfast"]
    assert "holdfast-backup --config-file" in " ".join(parts(ran)["Next"])


def test_a_backup_service_that_does_not_start_is_no_step(check, served):
    path = "cinder.backup.drivers.tsm.TSMBackupDriver"
    own = f"accept_unsupported = backup_driver\nbackup_driver = {path}"
    change = {"change": lambda text: text.replace("verbose = True", own)}
    found = parts(check("packaged.conf", "--cinder", **change))

    assert found["Backups"] == [f"{path}; cannot be loaded"]
    steps = " ".join(found["Next"])
    assert "holdfast-backup --config-file" not in steps and "Stop cinder-volume:" in steps


def test_the_option_verbose_has_no_other_name(check):
    found = " ".join(parts(check("packaged.conf", "--cinder"))["Unknown"])

    assert "[DEFAULT] verbose unknown, so it has no effect; Cinder 29.0.0 has it no more" in found


def test_options_of_drivers_of_other_projects_are_theirs(check):
    own = "volume_driver = array_maker.cinder.Driver\narray_pool = p\nvolume_backend_nam = a"
    found = parts(check("packaged.conf", "--cinder", change=with_backend(own)))

    assert "array_pool" not in " ".join(found["Unknown"])
    assert "[lvm] volume_backend_nam" in " ".join(found["Unknown"])
    assert "1  drivers of other projects" in " ".join(found["For others, not looked at"])


def test_the_scheduler_reads_the_ratio_of_the_whole_cloud(check):
    ratio = "max_over_subscription_ratio = 5"
    ran = check("packaged.conf", "--cinder", change=lambda t: t.replace("verbose = True", ratio))

    assert "max_over_subscription_ratio" not in ran.out
    assert "1  cinder-scheduler" in " ".join(parts(ran)["For others, not looked at"])


def test_a_service_of_cinder_that_runs_is_named(check, served, tmp_path):
    program = tmp_path / "cinder-volume"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as running:
        try:
            until(lambda: _is_sleeping(running.pid), 10, "the program")
            steps = " ".join(parts(check("packaged.conf", "--cinder"))["Next"])
        finally:
            running.kill()

    assert f"cinder-volume (process {running.pid})" in steps


def _is_sleeping(pid):
    return b"cinder-volume" in Path(f"/proc/{pid}/cmdline").read_bytes()
