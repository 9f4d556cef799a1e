# SPDX-License-Identifier: Apache-2.0
"""The message bus of a configuration: addresses and options with which no start succeeds."""

from __future__ import annotations

import pytest

from worker.conf import ConfigError
from worker.conf.check import bus, checker, config_files

GOOD = "rabbit://user:pass@192.0.2.1:5672/"
BACKEND = "[DEFAULT]\nenabled_backends = b1\n[b1]\nvolume_driver = noop\n"


def refusal(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    line = str(caught.value)
    assert "\n" not in line and "sesame" not in line
    return line


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("user:sesame@h:99999/", "the port 99999 is not between 1 and 65535"),
        ("user:sesame@h:0/", "the port 0 is not between 1 and 65535"),
        ("user:sesame@h:5672,user:sesame@i:70000/", "the port 70000 is not between"),
        ("user:sesame@h:amqp/", "has a port that is not a number; in a name or password, write"),
        ("user:se/same@h:5672/", "has a port that is not a number; in a name or password, write"),
        ("user:se#same@h:5672/", "has a port that is not a number"),
        ("user:se?same@h:5672/", "has a port that is not a number"),
        ("user:se%2Fsame@h:5672/", "cannot be used; in a name or password, write"),
        ("user:sesame@[::1:5672/", "is not a URL such as rabbit://user:password@host:5672/"),
    ],
)
@pytest.mark.parametrize("section", ["DEFAULT", "oslo_messaging_notifications"])
def test_an_address_that_cannot_be_read_is_named(load, tmp_path, section, address, text):
    found = refusal(load, f"[{section}]\ntransport_url = rabbit://{address}\n")

    assert found.startswith(f"{tmp_path}/holdfast.conf:2: [{section}] transport_url: {text}")


@pytest.mark.parametrize("password", ["p@ss", "p%40ss", "p:ss", "p%23%3F%2C%5Bss"])
def test_passwords_that_the_library_reads_are_accepted(load, password):
    loaded = load(f"[DEFAULT]\ntransport_url = rabbit://user:{password}@192.0.2.1:5672/\n")

    assert bus.faults(loaded, config_files.of(loaded)) == []


@pytest.mark.parametrize(
    ("options", "name", "text"),
    [
        ("rabbit_quorum_queue = true\nrabbit_ha_queues = true", "rabbit_quorum_queue", "both"),
        ("rabbit_stream_fanout = true", "rabbit_stream_fanout", "rabbit_transient_quorum_queue"),
        ("ssl = true\nssl_version = TLSv9", "transport_url", "Invalid SSL version : TLSv9"),
        ("ssl = true\nssl_ca_file = /no/ca", "ssl_ca_file", "/no/ca cannot be read"),
        ("ssl = true\nssl_key_file = /no/key", "ssl_key_file", "/no/key cannot be read"),
        ("heartbeat_rate = 0", "heartbeat_rate", "0 is not between 1 and 1000"),
        (
            "heartbeat_timeout_threshold = -5",
            "heartbeat_timeout_threshold",
            "-5 is not between 0 and 65535",
        ),
        ("kombu_compression = rar", "kombu_compression", "is none of "),
        ("rpc_conn_pool_size = 1\nconn_pool_min_size = 2", "rpc_conn_pool_size", "greater than"),
    ],
)
def test_options_that_the_library_refuses_are_named(load, tmp_path, options, name, text):
    """Each ended the start with a traceback, or was attempted for ever."""
    head = f"[DEFAULT]\ntransport_url = {GOOD}\n[oslo_messaging_rabbit]\n"
    found = refusal(load, f"{head}{options}\n")

    place, _, rest = found.partition(f"] {name}: ")
    assert place.startswith(f"{tmp_path}/holdfast.conf:")
    assert text in rest


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("executor_thread_pool_size = 0", "0 threads run no operation: write 1 at least"),
        (f"control_exchange = {256 * 'x'}", "is longer than 255 bytes"),
        (f"storage_availability_zone = {256 * 'z'}", "exceeds maximum length 255"),
    ],
)
def test_sizes_with_which_no_process_runs_are_named(load, tmp_path, option, text):
    found = refusal(load, f"[DEFAULT]\ntransport_url = {GOOD}\n{option}\n")

    assert found.startswith(f"{tmp_path}/holdfast.conf:3: [DEFAULT] {option.partition(' ')[0]}: ")
    assert text in found


def test_options_in_the_address_are_checked_too(load, tmp_path):
    query = "?rabbit_quorum_queue=true&rabbit_ha_queues=true"
    found = refusal(load, f"[DEFAULT]\ntransport_url = {GOOD}{query}\n")

    assert found.startswith(f"{tmp_path}/holdfast.conf:2: [oslo_messaging_rabbit] rabbit_quorum_q")


def test_streams_need_no_prefetch_as_a_start_limits_it(load):
    options = "rabbit_stream_fanout = true\nrabbit_transient_quorum_queue = true\n"
    loaded = load(f"[DEFAULT]\ntransport_url = {GOOD}\n[oslo_messaging_rabbit]\n{options}")

    assert loaded.oslo_messaging_rabbit.rabbit_qos_prefetch_count == 0


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [
        ("", "transport_url", None),
        (f"transport_url = {GOOD}", "amqp_durable_queues", 2),
        (
            f"transport_url = {GOOD}\n[oslo_messaging_rabbit]\namqp_durable_queues = false",
            "amqp_durable_queues",
            4,
        ),
        (
            f"transport_url = {GOOD}\n[oslo_messaging_rabbit]\namqp_auto_delete = true",
            "amqp_auto_delete",
            4,
        ),
        (f"transport_url = {GOOD}\n[oslo_messaging_rabbit]\nssl = true", "ssl_ca_file", 3),
    ],
)
def test_a_bus_that_loses_operations_is_warned_of(write, text, name, line):
    path = write(f"[DEFAULT]\n{text}\n[b1]\nvolume_driver = noop\n")
    problems = {one.option: one for one in checker.check([path]) if not one.fatal}

    assert problems[name].line == line


def test_a_driver_of_notifications_that_does_not_exist_is_named(write):
    text = f"transport_url = {GOOD}?amqp_durable_queues=true\n"
    more = "[oslo_messaging_notifications]\ndriver = messagingv2\ndriver = mesagingv2\n"
    [problem] = checker.check([write(BACKEND.replace("[b1]", f"{text}[b1]") + more)])

    assert (problem.line, problem.option, problem.fatal) == (8, "driver", False)
    assert problem.text.startswith("there is no driver mesagingv2, known: log, messaging, ")


def test_a_plugin_of_a_database_that_is_not_installed_is_warned_of(write):
    text = "[database]\nconnection = mysql+pymysql://u:p@h/d?charset=utf8&plugin=dbcounter\n"
    found = [one for one in checker.check([write(BACKEND + text)]) if one.section == "database"]

    assert [(one.line, one.fatal) for one in found] == [(6, False)]
    assert found[0].text == "the plugin dbcounter is not installed, so it has no effect"


@pytest.mark.parametrize("option", ["rabbit_quorum_queue", "amqp_durable_queues"])
def test_a_durable_bus_is_not(write, option):
    text = f"transport_url = {GOOD}\n[oslo_messaging_rabbit]\n{option} = true\n"
    path = write(BACKEND.replace("[b1]", f"{text}[b1]"))

    assert [one for one in checker.check([path]) if one.section != "DEFAULT"] == []
