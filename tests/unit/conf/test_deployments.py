# SPDX-License-Identifier: Apache-2.0
"""Files as deployment tools render them: the report has no surprise, and services start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config import cfg

from drivers.volume.noop import NoopDriver
from worker.cmd import backup, volume
from worker.conf import backends
from worker.conf.check import checker, urls
from worker.conf.cinder.review import AssignmentKind
from worker.service import process

FILES = Path(__file__).parent / "cinder"

REFUSED = {
    "charm": {},
    "devstack": set(),
    "kolla": set(),
    "openstack-ansible": set(),
    "openstack-helm": set(),
    "tripleo": set(),
}
"""Options of each tool's file whose features do not exist here, as accept_unsupported has them."""

FOR_A_CLUSTER = {"tripleo": "[journal]\nconnection = mysql+pymysql://holdfast:x@db/holdfast\n"}
"""Sections to be added to the file of a tool that sets ``cluster``."""

UNKNOWN = {
    "charm": {"api_paste_confg", "iscsi_helper", "verbose", "glance_api_version"},
    "devstack": set(),
    "kolla": {"os_region_name", "heartbeat_in_pthread"},
    "openstack-ansible": {"heartbeat_in_pthread"},
    "openstack-helm": {"glance_api_version"},
    "tripleo": {
        *("enable_v3_api", "heartbeat_in_pthread", "glance_api_version", "nova_catalog_info"),
        *("os_region_name", "idle_timeout"),
    },
}
"""Options that Cinder 29 does not have any more, or never had."""

Written = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """A function that writes a tool's file; all libraries and drivers count as installed."""
    monkeypatch.setattr(urls, "_installed", lambda address, group: None)
    monkeypatch.setattr(backends, "driver_class", lambda conf, name: NoopDriver)
    other = tmp_path / "my.cnf"
    other.write_text("[tripleo]\n")

    def written(tool: str, head: str = "") -> str:
        text = (FILES / f"{tool}.conf").read_text()
        text = text.replace("/etc/my.cnf.d/tripleo.cnf", str(other))
        text = text.replace("state_path", "#state_path").replace(
            "[DEFAULT]\n", f"[DEFAULT]\nstate_path = {tmp_path}/state\n{head}\n", 1
        )
        path = tmp_path / "cinder.conf"
        path.write_text(text + FOR_A_CLUSTER.get(tool, ""))
        path.chmod(0o600)
        return str(path)

    return written


@pytest.mark.parametrize("tool", REFUSED)
def test_only_missing_features_prevent_the_move(written: Written, tool: str) -> None:
    found = checker.examine([written(tool)])

    fatal = [problem for problem in found.problems if problem.fatal]
    names = {
        f"{one.section}.{one.option}" if one.section == "key_manager" else one.option
        for one in fatal
    }
    assert names == set(REFUSED[tool]), [str(problem) for problem in fatal]


@pytest.mark.parametrize("tool", UNKNOWN)
def test_only_options_that_cinder_lacks_are_unknown(written: Written, tool: str) -> None:
    review = checker.examine([written(tool)]).review
    assert review is not None
    unknown = review.of_kind(AssignmentKind.UNKNOWN)

    assert {one.entry.option for one in unknown} == UNKNOWN[tool]


@pytest.mark.parametrize("tool", REFUSED)
@pytest.mark.parametrize("program", [volume, backup])
def test_a_service_starts_without_these_features(
    written: Written, monkeypatch: pytest.MonkeyPatch, tool: str, program: object
) -> None:
    started: list[list[tuple[object, int]]] = []
    monkeypatch.setattr(
        process, "serve", lambda conf, services, topic, name: started.append(services)
    )
    monkeypatch.setattr(program.log_output, "set_up", lambda conf, prog: None)  # type: ignore[attr-defined]
    names = ", ".join(REFUSED[tool])
    path = written(tool, f"accept_unsupported = {names}" if names else "")
    leaves_backups = program is backup and "backup_driver" in names
    try:
        if leaves_backups:
            with pytest.raises(SystemExit) as caught:
                program.main(["--config-file", path])  # type: ignore[attr-defined]
            assert caught.value.code == 78
        else:
            program.main(["--config-file", path])  # type: ignore[attr-defined]
            assert len(started) == 1
    finally:
        cfg.CONF.reset()
