# SPDX-License-Identifier: Apache-2.0
"""A start without its bus or its database, and beside another service of the same host."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kombu
import pytest

from tests.faults.outages.proxy import Link
from tests.functional.process import bus_wait
from tests.functional.service import Service
from tests.servers import Broker, free_port, until
from worker.db import sync
from worker.db.database import Database

Make = Callable[..., Service]


EXECUTED: dict[str, Any] = {"forked": False}
"""Options of a service that is executed, as systemd does, where that makes a difference."""

SHORT: dict[str, Any] = {"module": bus_wait.__name__, "environment": {bus_wait.SECONDS: "1"}}
"""Options of a service that does not wait 15 s for the bus before it counts as ready."""

LONG: dict[str, Any] = {"module": bus_wait.__name__, "environment": {bus_wait.SECONDS: "600"}}
"""Options of one that is not ready before a test has stopped it, on a busy machine as well."""


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    made = Database(url)
    sync.sync(made)
    made.dispose()
    return url


@pytest.fixture
def no_bus() -> str:
    return f"rabbit://guest:guest@127.0.0.1:{free_port()}/none"


def waits(service: Service, system: str) -> None:
    """Wait until systemd is shown that the service is ready and waits for a system."""
    service.wait_for_notice("READY=1")
    service.wait_for_notice(f"STATUS=waits for {system}")


def status(service: Service) -> str:
    """Return the last status that systemd is shown."""
    shown = [notice for notice in service.notices() if notice.startswith("STATUS=")]
    return shown[-1].removeprefix("STATUS=") if shown else ""


@pytest.mark.parametrize(("processes", "options"), [(1, EXECUTED), (2, SHORT)], ids=["1", "2"])
def test_without_a_bus_it_is_ready_and_ends_on_sigterm(
    volume_service: Make, database: str, no_bus: str, processes: int, options: dict[str, Any]
) -> None:
    backends = {"b1": {"volume_driver": "local", "processes": processes}}
    service = volume_service(bus=no_bus, database=database, backends=backends, **options)
    service.launch()
    waits(service, "the message bus")

    assert service.stop(40) == 0


def test_without_a_bus_a_sigterm_ends_the_start(
    volume_service: Make, database: str, no_bus: str
) -> None:
    service = volume_service(bus=no_bus, database=database, **LONG)
    service.launch()
    service.wait_for_log("the message bus is away")

    assert service.stop(40) == 0
    assert "/0 waits for the message bus" not in service.text()  # the start has not ended before


@pytest.mark.parametrize(
    ("section", "system"),
    [("database", "the database"), ("journal", "the journal's database")],
)
def test_without_a_database_it_is_ready_and_ends_on_sigterm(
    volume_service: Make, no_bus: str, database: str, section: str, system: str
) -> None:
    away = f"mysql+pymysql://cinder:secret@127.0.0.1:{free_port()}/cinder"
    sections = {section: {"connection": away}}
    service = volume_service(bus=no_bus, database=database, sections=sections, **SHORT)
    service.launch()
    waits(service, system)

    assert service.stop(40) == 0


@pytest.mark.parametrize("backends", [("b1",), ("b1", "b2")])
def test_without_tables_it_ends_with_the_command_that_makes_them(
    volume_service: Make, tmp_path: Path, no_bus: str, backends: tuple[str, ...]
) -> None:
    """Several processes end as one does: their supervisor would start them for ever."""
    drivers = {name: {"volume_driver": "local", "local_path": tmp_path / name} for name in backends}
    url = f"sqlite:///{tmp_path / 'empty.sqlite'}"
    service = volume_service(bus=no_bus, database=url, backends=drivers, **EXECUTED)

    assert service.launch().wait(60) == 69
    wanted = f"{url} cannot be used: (sqlite3.OperationalError) no such table: services; run: "
    log = service.text()
    assert 1 <= log.count(f"{wanted}holdfast db sync") <= len(backends)
    assert log.count("no such table") == log.count(wanted)
    assert "Forking too fast" not in log
    assert service.notices()[-1].startswith(f"STATUS={url} cannot be used: ")


@pytest.mark.parametrize(
    ("password", "options", "line"),
    [
        ("no", {}, "[DEFAULT] transport_url: the broker refuses the name or the password of "),
        (
            "right",
            {"amqp_durable_queues": True},
            "[oslo_messaging_rabbit] amqp_durable_queues: the broker has the exchange 'openstack' "
            "with durable = 'false', this service wants 'true': ",
        ),
        (
            "right",
            "?rabbit_quorum_queue=true",
            "[oslo_messaging_rabbit] amqp_durable_queues: the broker has the ",
        ),
    ],
)
def test_a_bus_that_refuses_the_configuration_ends_the_start_for_good(
    volume_service: Make,
    database: str,
    rabbit_url: str,
    broker: Broker,
    password: str,
    options: dict[str, bool] | str,
    line: str,
) -> None:
    """The units list the status, so that systemd does not restart the service."""
    vhost, user = rabbit_url.rpartition("/")[2], f"u{free_port()}"
    broker.ctl("add_user", user, "right")
    broker.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    with kombu.Connection(rabbit_url.replace("rabbit:", "amqp:")) as connection:
        kombu.Exchange("openstack", "topic", durable=False)(connection.channel()).declare()
    bus = rabbit_url.replace("guest:guest", f"{user}:{password}")
    backends = {"b1": {"volume_driver": "local", "processes": 2}}
    sections = {}
    if isinstance(options, str):
        bus += options
    else:
        sections = {"oslo_messaging_rabbit": options}
    service = volume_service(bus=bus, database=database, backends=backends, sections=sections)

    assert service.launch().wait(60) == 78
    (found,) = [one for one in service.text().splitlines() if "NOT DURABLE" not in one]
    assert re.match(rf"{service.config}:\d+: {re.escape(line)}", found)


def test_a_bus_that_comes_late_and_refuses_the_queues_ends_the_service(
    volume_service: Make, database: str, rabbit_url: str, broker: Broker
) -> None:
    with kombu.Connection(rabbit_url.replace("rabbit:", "amqp:")) as connection:
        kombu.Exchange("openstack", "topic", durable=True)(connection.channel()).declare()
    link = Link(broker.port)
    link.cut()
    bus = re.sub(r":\d+/", f":{link.port}/", rabbit_url)
    service = volume_service(bus=bus, database=database)
    process = service.launch()
    service.wait_for_log("the message bus is away")
    link.mend()

    assert process.wait(60) == 78
    assert re.search(
        rf"ERROR worker\S+ \[-\] {service.config}:\d+: \[oslo_messaging_rabbit\] "
        "amqp_durable_queues: the broker has the exchange 'openstack' with durable = 'true'",
        service.text(),
    )
    assert "Traceback" not in service.text()
    link.cut()


@pytest.mark.parametrize("wrong", ["virtual host", "permissions"])
def test_a_bus_that_refuses_the_service_is_waited_for(
    volume_service: Make, database: str, rabbit_url: str, broker: Broker, wrong: str
) -> None:
    """Users and virtual hosts are made by a deployment, maybe later than the service."""
    user, vhost = f"u{free_port()}", rabbit_url.rpartition("/")[2]
    broker.ctl("add_user", user, "right")
    if wrong != "permissions":
        broker.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    bus = rabbit_url.replace("guest:guest", f"{user}:right")
    bus = bus.replace(f"/{vhost}", f"/{user}") if wrong == "virtual host" else bus
    service = volume_service(bus=bus, database=database, **SHORT)
    service.launch()
    waits(service, "the message bus")
    if wrong == "virtual host":
        broker.ctl("add_vhost", user)
        broker.ctl("set_permissions", "-p", user, user, ".*", ".*", ".*")
    else:
        broker.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    service.wait_for_notice("STATUS=takes operations", 120)

    assert service.stop(40) == 0
    log = service.text()
    assert log.count("ERROR worker.rpc.server [-] the message bus refuses this") <= 2  # servers
    assert f"waits for it: {service.config}:" in log
    assert "Traceback" not in log


def test_it_takes_operations_when_the_bus_comes(
    volume_service: Make, database: str, rabbit_url: str, broker: Broker
) -> None:
    link = Link(broker.port)
    link.cut()
    bus = re.sub(r":\d+/", f":{link.port}/", rabbit_url)
    service = volume_service(bus=bus, database=database, **SHORT)
    service.launch()
    waits(service, "the message bus")
    link.mend()

    service.wait_for_notice("STATUS=takes operations", 120)
    link.cut()
    until(lambda: status(service) == "waits for the message bus", 60, "the outage's status")
    link.mend()
    until(lambda: status(service) == "takes operations", 60, "the status after the outage")
    assert service.stop() == 0
    link.cut()


def test_only_one_service_of_a_host_and_database(
    volume_service: Make, database: str, no_bus: str
) -> None:
    # The command line of the first one is logged.
    first = volume_service(bus=no_bus, database=database, **EXECUTED, **SHORT)
    second = volume_service(bus=no_bus, database=database, **SHORT)
    assert first.directory != second.directory
    first.launch()
    waits(first, "the message bus")
    second.launch()
    second.wait_for_log(
        r"another process still serves cinder-volume h1@b1 of sqlite:\S+: process \d+ \(.*"
        rf"{first.config}\); this one \(\d+, state path {second.directory}/state\) waits"
    )
    waits(second, "the other process that serves h1@b1")
    assert "waits for the message bus" not in second.text()
    first.kill()

    second.wait_for_log("waits for the message bus")
    assert second.stop(40) == 0


def test_another_database_is_another_service(
    volume_service: Make, database: str, no_bus: str, tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    made = Database(other)
    sync.sync(made)
    made.dispose()
    services = [volume_service(bus=no_bus, database=url, **SHORT) for url in (database, other)]
    for service in services:
        service.launch()

    for service in services:
        until(lambda: "READY=1" in service.notices(), 60, "the service")  # noqa: B023
        assert "still serves" not in service.text()
