# SPDX-License-Identifier: Apache-2.0
"""The transport: a bounded prefetch, a loud warning, a configuration of one's own."""

from __future__ import annotations

import logging
import os

import pytest
from oslo_concurrency import lockutils
from oslo_messaging._drivers import amqpdriver

from worker.compat import oslo_messaging as compat
from worker.rpc import transport


class TestDurabilityWarning:
    def test_tells_what_to_set_everywhere_and_why(self, configured):
        text = transport.durability_warning(configured())

        for word in (
            "NOT DURABLE",
            "restart of RabbitMQ",
            "lost",
            "[oslo_messaging_rabbit] rabbit_quorum_queue = true",
            "amqp_durable_queues = true",
            "ALL services",
            "cinder-api",
            "cinder-scheduler",
            "'openstack'",
        ):
            assert word in text

    def test_names_the_exchange_in_use(self, configured):
        assert "'mine'" in transport.durability_warning(
            configured(default={"control_exchange": "mine"})
        )

    @pytest.mark.parametrize("option", ["rabbit_quorum_queue", "amqp_durable_queues"])
    def test_is_not_given_for_durable_queues(self, configured, option):
        assert transport.durability_warning(configured(**{option: "true"})) is None
        assert transport.durability_warning(configured(f"rabbit://h/?{option}=true")) is None
        assert transport.durability_warning(configured(**{option: "false"}))

    def test_is_given_for_durable_queues_that_go_with_their_consumer(self, configured):
        for conf in (
            configured(amqp_auto_delete="true", amqp_durable_queues="true"),
            configured("rabbit://h/?amqp_auto_delete=true", rabbit_quorum_queue="true"),
        ):
            text = transport.durability_warning(conf)

            assert "amqp_auto_delete = false" in text
            assert "NOT DURABLE" not in text
        assert "NOT DURABLE" in transport.durability_warning(configured(amqp_auto_delete="true"))

    @pytest.mark.parametrize("url", ["kombu+memory://", "fake://", "kafka://h:1/"])
    def test_is_not_given_for_a_bus_without_such_queues(self, configured, url):
        assert transport.durability_warning(configured(url)) is None


class TestPrefetch:
    @pytest.mark.parametrize(
        ("asked", "concurrency", "expected"),
        [(None, 8, 8), (0, 8, 8), (4, 8, 4), (100, 8, 8), (0, 0, 1), (5, 0, 1)],
    )
    def test_is_at_least_one_and_at_most_the_concurrency(
        self, configured, asked, concurrency, expected
    ):
        conf = configured(**({} if asked is None else {"rabbit_qos_prefetch_count": asked}))
        transport.register_opts(conf)

        assert transport.bound_prefetch(conf, concurrency) == expected
        assert conf.oslo_messaging_rabbit.rabbit_qos_prefetch_count == expected

    @pytest.mark.parametrize(
        ("url", "options", "expected"),
        [
            ("rabbit://h/", {}, 4096),
            ("rabbit://h/", {"rabbit_qos_prefetch_count": 100}, 100),
            ("rabbit://h/", {"amqp_auto_delete": "true"}, 0),
            ("rabbit://h/?amqp_auto_delete=true", {}, 0),
        ],
    )
    def test_under_load_is_higher_unless_queues_go_with_their_consumer(
        self, configured, url, options, expected
    ):
        conf = configured(url, **options)
        transport.register_opts(conf)
        usual = transport.bound_prefetch(conf, 8)

        assert transport.fetched_ahead(conf, 4096) == expected
        assert conf.oslo_messaging_rabbit.rabbit_qos_prefetch_count == usual

    def test_of_a_second_transport_is_bounded_by_its_own_concurrency(self, configured):
        conf = configured("kombu+memory://")
        transport.get(conf, prefetch=1).cleanup()
        transport.get(conf, prefetch=9).cleanup()

        assert conf.oslo_messaging_rabbit.rabbit_qos_prefetch_count == 9

    def test_reaches_the_driver(self, configured):
        bus = transport.get(configured("kombu+memory://"), prefetch=7)

        assert bus._driver.conf.oslo_messaging_rabbit.rabbit_qos_prefetch_count == 7


class TestQueueManager:
    @pytest.fixture
    def queue_of(self, configured, monkeypatch):
        """A function that returns the reply queue of a process, after its restart, too."""
        monkeypatch.setattr(amqpdriver, "QManager", amqpdriver.QManager)

        def queue_of(process):
            conf = configured("kombu+memory://", use_queue_manager="true", hostname="h/1")
            bus = transport.get(conf, prefetch=1, process=process)
            return bus._driver._get_reply_queue_name()

        return queue_of

    def test_names_differ_between_processes_and_stay_after_a_restart(self, queue_of):
        slots = ["holdfast-volume-h1@b1/0", "holdfast-volume-h1@b1/1", "holdfast-volume-h1@b2/0"]
        names = [queue_of(slot) for slot in slots]

        assert len(set(names)) == 3
        assert [queue_of(slot) for slot in slots] == names

    def test_all_connections_of_a_process_have_names_of_their_own(self):
        names = [compat.QueueNames("h", "p") for _ in range(3)]
        names[0].begin_anew()
        compat.QueueNames("h", "another").get()

        assert [one.get() for one in (*names, names[0])] == [f"h:p:{n}" for n in range(1, 5)]

    def test_a_process_needs_no_lock_and_no_leader_of_its_group(self, queue_of, monkeypatch):
        def refuse(*_):
            raise FileNotFoundError("/proc/1/stat")

        monkeypatch.setattr(os, "getpgrp", refuse)
        monkeypatch.setattr(lockutils, "get_lock_path", refuse)

        assert queue_of("holdfast-volume-h1@b1/0").startswith("reply_h/1:")

    def test_a_process_without_a_name_has_random_queues(self, queue_of):
        assert queue_of(None) != queue_of(None)


def test_security_and_queue_options_reach_the_driver(configured):
    conf = configured(
        "kombu+memory://", ssl="true", ssl_ca_file="/ca.pem", rabbit_quorum_queue="true"
    )
    seen = transport.get(conf, prefetch=1)._driver.conf.oslo_messaging_rabbit

    assert (seen.ssl, seen.ssl_ca_file, seen.rabbit_quorum_queue) == (True, "/ca.pem", True)


def test_the_exchange_is_that_of_an_untouched_cinder(configured):
    conf = configured("kombu+memory://")
    transport.get(conf, prefetch=1)

    assert conf.control_exchange == "openstack"


def test_errors_of_cinder_are_rebuilt_and_those_of_others_are_not(configured):
    allowed = transport.get(
        configured("kombu+memory://"), prefetch=1
    )._driver._allowed_remote_exmods

    assert "cinder.exception" in allowed
    assert not any(module in allowed for module in ("builtins", "os", "subprocess"))


@pytest.mark.parametrize(
    ("logger", "text", "kept"),
    [
        ("amqp", "Received method %s during closing channel %s. This method", False),
        ("amqp", "connection lost", True),
        ("oslo.messaging._drivers.impl_rabbit", "Heartbeat support requested but it is", False),
        ("oslo.messaging._drivers.impl_rabbit", "Queue not found: %s", True),
    ],
)
def test_only_harmless_warnings_are_dropped(caplog, logger, text, kept):
    transport.quieten()
    filters = list(logging.getLogger(logger).filters)
    transport.quieten()
    arguments = ("x",) * text.count("%s")
    logging.getLogger(logger).warning(text, *arguments)

    assert bool(caplog.records) == kept
    assert logging.getLogger(logger).filters == filters
