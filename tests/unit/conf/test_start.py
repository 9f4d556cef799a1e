# SPDX-License-Identifier: Apache-2.0
"""Reading the configuration at the start: values, defaults, and the one line of a refusal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config import cfg

from worker import conf
from worker.conf import ConfigError, state_path

ROOT = Path(__file__).parents[3]


def refusal(load, text, *arguments):
    with pytest.raises(ConfigError) as caught:
        load(text, *arguments)
    return str(caught.value)


def test_cinders_defaults_hold(load):
    loaded = load("[DEFAULT]\n")

    assert (loaded.report_interval, loaded.service_down_time) == (10, 60)
    assert loaded.backend_stats_polling_interval == 60
    assert loaded.volume_name_template == "volume-%s"
    assert loaded.snapshot_name_template == "snapshot-%s"
    assert loaded.storage_availability_zone == "nova"
    assert loaded.control_exchange == "openstack"
    assert loaded.graceful_shutdown_timeout == 60
    assert loaded.executor_thread_pool_size == 64
    assert loaded.rpc_response_timeout == 60
    assert (loaded.quota_volumes, loaded.quota_gigabytes, loaded.quota_snapshots) == (10, 1000, 10)
    assert (loaded.reservation_expire, loaded.message_ttl) == (86400, 2592000)


def test_own_defaults_live_in_the_state_path(load):
    loaded = load("[DEFAULT]\nstate_path = /srv/h\n")

    assert loaded.journal.connection == "sqlite:////srv/h/journal.sqlite"
    assert loaded.database.connection == "sqlite:////srv/h/holdfast.sqlite"
    assert loaded.coordination.backend_url == "file:///srv/h"
    assert (loaded.journal.max_resumes, loaded.journal.keep_finished) == (3, 24)


def test_a_file_of_cinder_is_read_as_it_is(load):
    loaded = load("""
        [DEFAULT]
        osapi_volume_listen = 0.0.0.0
        enabled_backends = lvmdriver-1
        transport_url = rabbit://u:p@host:5672/
        my_ip = 10.0.0.1
        [lvmdriver-1]
        volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver
        volume_group = stack-volumes
        [database]
        connection = mysql+pymysql://root:secret@127.0.0.1/cinder?charset=utf8
        [keystone_authtoken]
        memcached_servers = localhost:11211
        [oslo_messaging_rabbit]
        amqp_durable_queues = true
        """)

    assert loaded.enabled_backends == ["lvmdriver-1"]
    assert loaded.oslo_messaging_rabbit.amqp_durable_queues is True
    assert loaded.database.connection.startswith("mysql+pymysql://")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[DEFAULT]\nreport_interval = ten\n",
            "2: [DEFAULT] report_interval: 'ten' is not a number",
        ),
        ("[DEFAULT]\n\nservice_down_time = 0\n", "3: [DEFAULT] service_down_time: "),
        ("[DEFAULT]\ndebug = maybe\n", "2: [DEFAULT] debug: Unexpected boolean value 'maybe'"),
        ("[DEFAULT]\nhost = a@b\n", "2: [DEFAULT] host: "),
        ("[DEFAULT]\nvolume_name_template = vol\n", "2: [DEFAULT] volume_name_template: "),
        ("[journal]\nmax_resumes = -1\n", "2: [journal] max_resumes: "),
        ("[oslo_messaging_rabbit]\nssl = perhaps\n", "2: [oslo_messaging_rabbit] ssl: "),
        ("[database]\nmax_retries = x\n", "2: [database] max_retries: 'x' is not a number"),
        ("[DEFAULT]\nno assignment\n", "2: No ':' or '=' found in assignment: 'no assignment'"),
        ("host = a\n", "1: an assignment before the first section"),
        ("[DEFAULT]\nreport_interval = \\\n", "2: [DEFAULT] report_interval: "),
        ("[DEFAULT]\nreport_interval = 5\nreport_interval = x\n", "3: [DEFAULT] report_interval: "),
    ],
)
def test_wrong_value_is_named_with_file_and_line(load, tmp_path, text, line):
    told = refusal(load, text)

    assert told.startswith(f"{tmp_path}/holdfast.conf:{line}")
    assert "\n" not in told


def test_secret_value_is_not_shown(load):
    told = refusal(load, "[database]\nconnection = $nothing_such/sesame\n")

    text = "has a $ before a word that is no option: write $$ for a $"
    assert told.endswith(f":2: [database] connection: {text}")
    assert "sesame" not in told


def test_several_wrong_values_are_counted(load):
    told = refusal(load, "[DEFAULT]\nreport_interval = a\nservice_down_time = b\n")

    assert told.endswith("(and 1 more: holdfast config check)")


def test_a_later_file_wins_and_is_named(load, write, tmp_path):
    later = write("[DEFAULT]\nreport_interval = x\n", "later.conf")

    told = refusal(load, "[DEFAULT]\nreport_interval = 5\n", "--config-file", later)

    assert told.startswith(f"{later}:2: ")


def test_a_directory_of_files_is_read(load, write, tmp_path):
    write("[DEFAULT]\nreport_interval = y\n", "conf.d/50-local.conf")

    told = refusal(load, "[DEFAULT]\n", "--config-dir", str(tmp_path / "conf.d"))

    assert told.startswith(f"{tmp_path}/conf.d/50-local.conf:2: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[DEFAULT]\ntransport_url = rabit://u:sesame@h/\n",
            "2: [DEFAULT] transport_url: nothing here can open rabit://; did you mean rabbit?",
        ),
        (
            "[database]\nconnection = mysq+pymysql://u:sesame@h/d\n",
            "2: [database] connection: nothing here can open mysq+pymysql://;"
            " did you mean mysql+pymysql?",
        ),
        (
            "[database]\nconnection = oracle+oracledb://u:sesame@h/d\n",
            "2: [database] connection: oracle+oracledb needs a Python package"
            " that is not installed: oracledb",
        ),
        (
            "[database]\nconnection = sesame\n",
            "2: [database] connection: is not a database URL,"
            " such as mysql+pymysql://user:password@host/name",
        ),
        ("[journal]\nconnection =\n", "2: [journal] connection: is empty"),
        (
            "[database]\nconnection = mysql+pymysql://u:se@same@h/d\n",
            "2: [database] connection: an @ in a name or password is written %40",
        ),
        (
            "[database]\nconnection = mysql+pymysql://u:sesame@h:99999/d\n",
            "2: [database] connection: the port 99999 is not between 1 and 65535",
        ),
        (
            "[database]\nconnection = mysql+pymysql://u:sesame@h:mysql/d\n",
            "2: [database] connection: has a port that is not a number",
        ),
        (
            "[database]\nconnection = mysql+pymysql://u:sesame@h/d?ssl_ca=/no/ca\n",
            "2: [database] connection: has ssl_ca = /no/ca, which cannot be read",
        ),
        (
            "[database]\nconnection = postgresql://u:sesame@h/d?nonsense=1\n",
            "2: [database] connection: cannot be used with nonsense: invalid dsn:"
            ' invalid connection option "nonsense"',
        ),
        (
            "[oslo_messaging_notifications]\ntransport_url = rabit://u:sesame@h/\n",
            "2: [oslo_messaging_notifications] transport_url: nothing here can open rabit://;"
            " did you mean rabbit?",
        ),
        (
            "[database]\nconnection = sqlite:////etc/passwd\n",
            "2: [database] connection: /etc/passwd is no database of SQLite",
        ),
        (
            "[database]\nconnection = sqlite:////etc\n",
            "2: [database] connection: /etc is a directory: name a file in it",
        ),
        (
            "[coordination]\nbackend_url = etcd3+http://u:sesame@h:port\n",
            "2: [coordination] backend_url: has a port that is not a number between 0 and 65535",
        ),
        (
            "[coordination]\nbackend_url = redis://u:sesame@h:99999\n",
            "2: [coordination] backend_url: has a port that is not a number between 0 and 65535",
        ),
        (
            "[coordination]\nbackend_url = fil:///sesame\n",
            "2: [coordination] backend_url: nothing here can open fil://; did you mean file?",
        ),
        (
            "[coordination]\nbackend_url = /sesame\n",
            "2: [coordination] backend_url: is not a URL:"
            " it has no scheme, such as file:// or rabbit://",
        ),
    ],
)
def test_address_that_nobody_can_open_is_named_without_its_password(load, tmp_path, text, line):
    assert refusal(load, text) == f"{tmp_path}/holdfast.conf:{line}"


@pytest.mark.parametrize(
    ("scheme", "told"),
    [
        ("etcd3+http", "etcd3+http:// needs a Python package: pip install etcd3gw"),
        ("redis", "redis:// needs a Python package: pip install redis"),
    ],
)
def test_library_of_the_locks_that_is_missing_is_named(load, monkeypatch, scheme, told):
    monkeypatch.setitem(sys.modules, "etcd3gw", None)
    monkeypatch.setitem(sys.modules, "redis", None)
    for name in [name for name in sys.modules if name.startswith("tooz.drivers.")]:
        monkeypatch.delitem(sys.modules, name)

    assert refusal(load, f"[coordination]\nbackend_url = {scheme}://h\n").endswith(told)


@pytest.mark.parametrize("options", ["nonsense=1", "charset=nonsense"])
def test_options_of_an_address_that_the_driver_refuses_are_named(load, options):
    """Each ended the start with a traceback."""
    found = refusal(load, f"[database]\nconnection = mysql+pymysql://u:sesame@h/d?{options}\n")

    name = options.partition("=")[0]
    assert f":2: [database] connection: cannot be used with {name}: " in found
    assert "sesame" not in found


def test_state_path_is_made(load, tmp_path):
    loaded = load(f"[DEFAULT]\nstate_path = {tmp_path}/a/b\n")

    assert state_path.prepare(loaded) == f"{tmp_path}/a/b"
    assert state_path.prepare(loaded) == f"{tmp_path}/a/b"
    assert (tmp_path / "a/b").is_dir()


def test_state_path_that_cannot_be_made_is_named(load, tmp_path):
    loaded = load("[DEFAULT]\nstate_path = /proc/holdfast\n")

    with pytest.raises(ConfigError) as caught:
        state_path.prepare(loaded)

    told = f"{tmp_path}/holdfast.conf:2: [DEFAULT] state_path: /proc/holdfast cannot be made: "
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("option", ["--config-file", "--config-dir"])
def test_absent_file_or_directory_is_named(load, option):
    assert refusal(load, "[DEFAULT]\n", option, "/nowhere/at.all").startswith("/nowhere/at.all: ")


def test_two_loads_do_not_mix(load):
    load("[DEFAULT]\nreport_interval = 5\n")

    assert load("[DEFAULT]\n").report_interval == 10


def test_a_program_adds_its_command_line(load):
    option = cfg.ListOpt("only", default=[])

    loaded = load("[DEFAULT]\n", "--only", "a,b", cli_opts=[option])

    assert loaded.only == ["a", "b"]
    cfg.CONF.clear()
    cfg.CONF.unregister_opt(option)


def test_refusal_ends_a_program_with_one_line_and_status_1(write):
    path = write("[DEFAULT]\nreport_interval = ten\n")
    script = "import sys; from worker import conf; conf.load(sys.argv[1:], prog='p')"

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, "--config-file", path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert done.stderr == f"{path}:2: [DEFAULT] report_interval: 'ten' is not a number\n"


def test_register_all_may_be_repeated():
    private = cfg.ConfigOpts()

    conf.register_all(private)
    conf.register_all(private)

    assert {"host", "journal", "coordination", "database"} <= set(private)
