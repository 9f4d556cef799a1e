# SPDX-License-Identifier: Apache-2.0
"""The option ``cluster``: its requirements, each fault in one line."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.volume.local import LocalDriver
from drivers.volume.noop import NoopDriver
from worker.cmd import volume
from worker.conf import ConfigError
from worker.conf.check import checker, cluster_needs, config_files

JOURNAL = "mysql+pymysql://holdfast:secret@db/journal"
SHARED = "volume_driver = local\nlocal_path_shared = true"

Loaded = Callable[..., Any]


@pytest.fixture
def text(tmp_path: Any) -> Callable[..., str]:
    """A function that returns a configuration file of a cluster; it has no fault by default."""

    def text(
        name: str = "east",
        journal: str = JOURNAL,
        locks: str = "redis://db:6379",
        backend: str = SHARED,
    ) -> str:
        return (
            f"[DEFAULT]\nenabled_backends = b1\nstate_path = {tmp_path}\ncluster = {name}\n"
            f"[journal]\nconnection = {journal}\n[coordination]\nbackend_url = {locks}\n"
            f"[b1]\n{backend}\n"
        )

    return text


@pytest.fixture
def found(load: Loaded, text: Callable[..., str]) -> Callable[..., list[str]]:
    """A function that returns the faults of a file."""

    def found(**options: str) -> list[str]:
        conf = load(text(**options))
        return [str(one) for one in cluster_needs.faults(conf, config_files.of(conf))]

    return found


def test_a_name_that_no_queue_can_have_is_refused(found: Callable[..., list[str]]) -> None:
    (problem,) = found(name="c" * 120)

    assert "cluster" in problem
    assert "would have names of" in problem


@pytest.mark.parametrize("locks", ["redis://db:6379", "rediss://db:6379", "etcd3+http://db:2379"])
def test_a_cluster_may_use_locks_that_expire(
    found: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, locks: str
) -> None:
    monkeypatch.setattr(checker.urls, "_installed", lambda address, group: None)
    assert found(locks=locks) == []


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        ("file:///var/lib/holdfast", "one host"),
        ("ipc://", "one host"),
        ("mysql://u:p@db/locks", "until its connection is found dead, and each node of Galera"),
        ("mysql+pymysql://u:p@db/locks", "until its connection is found dead"),
        ("postgresql://u:p@db/locks", "takes many names for the same lock"),
        ("memcached://db", "another host has taken meanwhile"),
        ("kubernetes://", "does not renew"),
        ("zookeeper://db", "does not report that a session"),
        ("kazoo://db", "does not report that a session"),
    ],
)
def test_a_cluster_is_refused_with_locks_that_do_not_expire(
    found: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, scheme: str, reason: str
) -> None:
    monkeypatch.setattr(checker.urls, "_installed", lambda address, group: None)
    [fault] = found(locks=scheme)

    assert "[coordination] backend_url: " in fault
    assert reason in fault
    assert "set it to etcd3+http://… or redis://…" in fault
    assert "u:p" not in fault


def test_a_cluster_is_refused_with_a_journal_of_one_host(found: Callable[..., list[str]]) -> None:
    [fault] = found(journal="sqlite:////var/lib/holdfast/journal.sqlite")

    assert "[journal] connection: is a file of this host" in fault
    assert "mysql+pymysql://…" in fault


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("volume_driver = local", "that of one host (local_path_shared)"),
        (f"{SHARED}\nlocal_export = nbd", "of one host (local_export = nbd)"),
        (
            "volume_driver = tests.unit.conf.clusters.test_cluster_needs.Alone",
            "(SUPPORTS_ACTIVE_ACTIVE)",
        ),
        (
            "volume_driver = noop\nreplication_device = backend_id:second",
            "no method failover_completed",
        ),
    ],
)
def test_a_cluster_is_refused_with_a_backend_of_one_host(
    found: Callable[..., list[str]], backend: str, reason: str
) -> None:
    [fault] = found(backend=backend)

    assert "[b1] volume_driver: cannot serve cluster east: " in fault
    assert reason in fault


def test_nothing_of_this_is_needed_without_a_cluster(found: Callable[..., list[str]]) -> None:
    assert found(name="", journal="sqlite:////j", locks="file:///l", backend=SHARED) == []


@pytest.mark.parametrize("name", ["a@b", "a#b", "a b"])
def test_a_name_that_would_be_another_address_is_refused(
    load: Loaded, text: Callable[..., str], name: str
) -> None:
    with pytest.raises(ConfigError, match=r"\[DEFAULT\] cluster: "):
        load(text(name=name))


def test_the_check_of_files_lists_all_faults(write: Any, text: Callable[..., str]) -> None:
    path = write(text(journal="sqlite:////j", locks="file:///l", backend="volume_driver = local"))
    fatal = [one.option for one in checker.check([path]) if one.fatal]

    assert fatal == ["connection", "backend_url", "volume_driver"]


def test_the_start_is_refused_with_one_line(
    write: Any, text: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        volume.main(["--config-file", write(text(locks="file:///l"))])

    assert caught.value.code == 78
    [line] = capsys.readouterr().err.splitlines()
    assert "[coordination] backend_url: file:// keeps the locks of one host" in line


def test_drivers_are_of_one_host_unless_they_say_otherwise() -> None:
    nothing = SimpleNamespace(safe_get=lambda name: None)

    assert Alone.reason_against_cluster(nothing) is not None
    assert NoopDriver.reason_against_cluster(nothing) is None
    assert LocalDriver.SUPPORTS_ACTIVE_ACTIVE


class Alone(NoopDriver):
    """A driver that says nothing of clusters."""

    SUPPORTS_ACTIVE_ACTIVE = False
