# SPDX-License-Identifier: Apache-2.0
"""Texts that no column takes, from drivers, messages and images: each operation ends.

Cinder's tables on MySQL are ``utf8mb3``, which holds no characters of four bytes. The journal
is in the same database, as a server refuses more than a file does.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.conftest import DATABASES, empty_database
from tests.functional.cloud import REQUEST, Cloud, encoded
from tests.functional.service import services
from tests.servers import Broker, Servers, until
from worker.journal.journal import Journal

TEXTS = {
    "long": "x" * 1_000_000,
    "four bytes": "\U0001f600" * 200,
    "long, four bytes": "\U0001f600" * 70_000,
    "NUL": "a\0b",
    "many NUL": "\0" * 70_000,
    "lone surrogate": "\ud800",
    "many lone surrogates": "\udfff" * 70_000,
}

FEW = 4
"""More calls of a driver's method than one operation makes."""


@pytest.fixture(scope="module", params=DATABASES)
def cloud(
    request: pytest.FixtureRequest,
    broker: Broker,
    servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
    forked: bool,
) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("texts")
    url = empty_database(request.param, servers, directory)
    journal = empty_database(request.param, servers, tmp_path_factory.mktemp("journal"))
    if request.param == "mysql":
        for address in (url, journal):
            engine = sa.create_engine(address)
            with engine.begin() as connection:
                name = sa.make_url(address).database
                connection.exec_driver_sql(f"ALTER DATABASE {name} CHARACTER SET utf8mb3")
            engine.dispose()
    with services(directory, forked=forked) as make:
        made = Cloud(make, broker.vhost(), url, directory, journal={"connection": journal})
        made.journal = lambda: Journal(journal)  # type: ignore[method-assign]
        made.service.start()
        yield made
        made.close()


@pytest.fixture(params=TEXTS.values(), ids=TEXTS)
def text(request: pytest.FixtureRequest) -> str:
    """A text that some store does not take as it is."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _plain(cloud: Cloud) -> Iterator[None]:
    """The driver follows no plan before a test and after it."""
    cloud.script.plan()
    yield
    cloud.script.plan()


def calls(cloud: Cloud, method: str, resource_id: str) -> int:
    """How often the driver was asked."""
    return sum(call.get("id") == resource_id for call in cloud.script.calls(method))


def test_an_error_of_the_driver_in_a_step_and_in_its_revert(cloud: Cloud, text: str) -> None:
    fails = {"raise": "VolumeBackendAPIException", "text": text}
    cloud.script.plan(create_volume=fails, delete_volume=fails)
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "error")
    cloud.wait_idle()

    assert calls(cloud, "create_volume", volume.id) == 1
    assert calls(cloud, "delete_volume", volume.id) < FEW
    [entry] = [one for one in cloud.entries() if volume.id in one.resource]
    assert len(str(entry.failure).encode()) <= 4000


def test_an_error_with_a_status_of_its_own_and_a_message(cloud: Cloud, text: str) -> None:
    fails = {"raise": "VolumeBackendAPIException", "text": text}
    cloud.script.plan(extend_volume=fails, create_snapshot=fails, delete_volume=fails)
    volume, extended = cloud.existing(), cloud.existing("extending")
    deleted, snapshot = cloud.existing("deleting"), cloud.snapshot(volume)
    cloud.cast("extend_volume", volume=extended, new_size=2, reservations=[])
    cloud.cast("create_snapshot", snapshot=snapshot)
    cloud.cast("delete_volume", volume=deleted)

    cloud.wait_status(extended, "error_extending")
    cloud.wait_status(snapshot, "error")
    cloud.wait_status(deleted, "error_deleting")


@pytest.mark.parametrize("column", ["provider_location", "provider_id", "provider_auth"])
def test_a_column_of_the_drivers_answer(cloud: Cloud, text: str, column: str) -> None:
    cloud.script.plan(create_volume={"return": {column: text}})
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)
    kept = cloud.database.engine.dialect.name != "mysql" and text == TEXTS["four bytes"]
    row = cloud.wait_status(volume, "available" if kept else "error")

    assert row is not None
    assert row[column] == (text if kept else None)
    assert calls(cloud, "create_volume", volume.id) == 1


def test_fields_of_a_message(cloud: Cloud, text: str) -> None:
    """A snapshot's failure writes a message for the user, with the request's id, first."""
    fails = {"raise": "VolumeBackendAPIException", "text": text}
    cloud.script.plan(create_snapshot=fails)
    snapshot = cloud.snapshot(cloud.existing())
    request = {**REQUEST, "request_id": text, "user_id": text, "project_id": text}
    cloud.client().cast(request, "create_snapshot", **encoded({"snapshot": snapshot}))
    cloud.wait_status(snapshot, "error")

    rejected = len(cloud.entries(rejected=True))
    cloud.client().cast(dict(REQUEST), "no_such_method" + text, why=text)
    later = cloud.volume()
    cloud.cast("create_volume", volume=later)
    cloud.wait_status(later, "available")
    assert len(cloud.entries(rejected=True)) > rejected


def test_properties_of_an_image(cloud: Cloud, text: str) -> None:
    image = cloud.image(properties={"note": text})
    volume = cloud.volume()
    spec = {"image_id": image["id"], "volume_properties": {}}
    cloud.cast("create_volume", volume=volume, request_spec=spec)

    until(lambda: cloud.status(volume) in ("available", "error"), 60, "the end of the creation")
