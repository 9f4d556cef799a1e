# SPDX-License-Identifier: Apache-2.0
"""Every backup driver of the release in the adapter, and the conformance of two."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.interface.errors import BackupDriverException  # noqa: E402
from tests.conformance import cinders  # noqa: E402
from worker.conf import ConfigError  # noqa: E402
from worker.conf.cinder import refused  # noqa: E402
from worker.conf.option_groups import backup  # noqa: E402

ROOT = Path(__file__).parents[3]
DRIVERS = "cinder.backup.drivers"

AS_FAR_AS: Mapping[str, str | None] = {
    "ceph.CephBackupDriver": "rados and rbd python libraries not found",
    "gcs.GoogleBackupDriver": "needs googleapiclient",
    "glusterfs.GlusterfsBackupDriver": "TypeError",
    "nfs.NFSBackupDriver": 'configuration option "backup_share"',
    "posix.PosixBackupDriver": None,
    "s3.S3BackupDriver": 'configuration option "backup_s3_endpoint_url"',
    "swift.SwiftBackupDriver": None,
}
"""The drivers, each with the error that ends its set-up without options, as in cinder-backup."""

_MISSING = "a missing part is an error of the driver, not a damaged backup"
_BY_THE_FLOW = "the flow has checked it"
_ITS_OWN = "the driver's own affair"

DEVIATIONS: Mapping[str, Mapping[str, str]] = {
    "FileGuest": {
        "test_a_parent_of_another_size_makes_it_a_full_one": "each of its backups is a full one",
        "test_a_volume_that_is_too_small_is_refused": _BY_THE_FLOW,
        "test_it_is_gone_and_so_it_stays": _MISSING,
        "test_a_killed_deletion_can_be_repeated": _MISSING,
        "test_metadata_is_kept_only_where_asked_for": "Cinder's drivers are never asked",
        "test_a_missing_object_is_noticed": _MISSING,
        "test_a_shortened_object_is_noticed": _ITS_OWN,
        "test_a_lost_parent_is_noticed": _ITS_OWN,
    },
}
"""Rules of the contract that are broken, with the reason for leaving it so."""


def test_all_of_them_are_listed() -> None:
    package = importlib.util.find_spec("cinder")
    assert package is not None and package.origin is not None
    place = Path(package.origin).parent / "backup" / "drivers"
    modules = {path.stem for path in place.glob("*.py")} - {"__init__"}

    assert {name.partition(".")[0] for name in AS_FAR_AS} == modules


@pytest.mark.parametrize("name", AS_FAR_AS)
def test_it_comes_as_far_as_in_cinder(name: str, tmp_path: Path) -> None:
    error = AS_FAR_AS[name]
    options = {"backup_work_path": str(tmp_path), "backup_posix_path": str(tmp_path / "store")}
    (tmp_path / "store").mkdir()
    settings = cinders.store_configuration(options)
    conf = settings.conf
    try:
        with pytest.MonkeyPatch.context() as patch:
            # Those with a counterpart of ours, too.
            patch.setattr(backup, "CINDER", {})
            patch.setattr(refused, "STORES", {})
            conf.set_override("backup_driver", f"{DRIVERS}.{name}")
            driver, services = backup.driver_class(conf)
        assert services[0] == f"{DRIVERS}.{name}"
        driver(settings).check_for_setup_error()
    except (BackupDriverException, ConfigError) as found:
        assert error is not None and error in str(found)
    else:
        assert error is None
    finally:
        conf.clear_override("backup_driver")


def test_conformance(tmp_path: Path) -> None:
    report, name = tmp_path / "report.xml", "FileGuest"
    options = [f"--driver-option=guest_directory={tmp_path / 'store'}", "--points=3"]
    command = [*("-m", "pytest", "-q", "tests/conformance", "-p", "no:cacheprovider")]
    driver = f"--driver=tests.cinder.backups.guests.{name}"
    done = subprocess.run(
        [sys.executable, *command, driver, *options, f"--junitxml={report}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.is_file(), done.stdout + done.stderr
    cases = list(ET.parse(report).iter("testcase"))
    bad = {
        str(case.get("name")).partition("[")[0]
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }

    assert len(cases) > 40, done.stdout
    assert bad == set(DEVIATIONS[name]), done.stdout
