# SPDX-License-Identifier: Apache-2.0
"""What a scheduler does to the service: rows in the database, casts on the bus."""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import oslo_messaging
import sqlalchemy as sa
from oslo_config import cfg

from bench.machine import Service
from tests.servers import Servers
from worker import conf as config
from worker.db import models, sync
from worker.db.engine import Database
from worker.rpc import transport

Work = Callable[[], None]

NODE, BACKEND = "bench", "noop"
HOST = f"{NODE}@{BACKEND}"
_DEADLINE = 120.0

_CONFIG = """\
[DEFAULT]
host = {node}
enabled_backends = {backend}
transport_url = {bus}
state_path = {state}
{options}
[database]
connection = {database}
[{backend}]
volume_driver = {driver}
volume_backend_name = {backend}
processes = {processes}
"""


class Setting:
    """A bus, a database and the messages to send.

    :param driver: of the backend.
    :param options: further lines of ``[DEFAULT]``.
    """

    def __init__(
        self, folder: Path, bus: str, database: str, driver: str = "noop", options: str = ""
    ) -> None:
        self._driver, self._options = driver, options
        self._folder = folder
        self._bus = bus
        self._database = database
        self._engine = sa.create_engine(database, isolation_level="AUTOCOMMIT")
        self._volumes = models.volumes
        self._message = _sample()
        conf = cfg.CONF
        files = [str(self._write(1))]
        conf = config.load([], prog="bench", default_config_files=files)
        sync.sync(Database.from_conf(conf))
        self._client = oslo_messaging.get_rpc_client(
            transport.get(conf, slots=1),
            oslo_messaging.Target(topic=f"cinder-volume.{HOST}", server=NODE, version="3.0"),
        )
        with self._engine.connect() as connection:
            types = models.volume_types
            self._type = connection.scalar(sa.select(types.c.id).limit(1))

    @classmethod
    def prepare(cls, servers: Servers, folder: Path, **others: str) -> Setting:
        """Start the servers and make the tables."""
        (folder / "state").mkdir()
        return cls(folder, servers.broker.vhost(), servers.mariadb.database(), **others)

    @property
    def journal(self) -> Path:
        """The service's journal."""
        return self._folder / "state" / "journal.sqlite"

    def service(self, processes: int, *, wait: bool = True) -> Service:
        """Start the service."""
        log = self._folder / "service.log"
        return Service(self._write(processes), log, processes, wait=wait)

    def insert(self, count: int, *, status: str) -> list[str]:
        """Insert rows as cinder-api leaves them."""
        ids = [str(uuid.uuid4()) for _ in range(count)]
        row = {
            "status": status,
            "attach_status": "detached",
            "host": f"{HOST}#{BACKEND}",
            "size": 1,
            "user_id": "u" * 32,
            "project_id": "p" * 32,
            "availability_zone": "nova",
            "volume_type_id": self._type,
            "use_quota": True,
            "deleted": False,
            "bootable": False,
            "multiattach": False,
        }
        with self._engine.connect() as connection:
            connection.execute(sa.insert(self._volumes), [{**row, "id": i} for i in ids])
        return ids

    def set_status(self, ids: Sequence[str], status: str) -> None:
        """Set a status as the API does before it casts."""
        with self._engine.connect() as connection:
            connection.execute(
                sa.update(self._volumes).where(self._volumes.c.id.in_(ids)).values(status=status)
            )

    def cast(self, method: str, volume_id: str) -> None:
        """Send what an untouched scheduler sends."""
        args = copy.copy(self._message[method])
        args["volume"] = copy.deepcopy(args["volume"])
        args["volume"]["versioned_object.data"]["id"] = volume_id
        self._client.cast({"user_id": "u" * 32, "project_id": "p" * 32}, method, **args)

    def cast_all(self, method: str, ids: Sequence[str]) -> None:
        """Cast for all and wait until all are done."""
        for volume_id in ids:
            self.cast(method, volume_id)
        self.wait_done(method, ids, every=0.02)

    def wait_done(self, method: str, ids: Sequence[str], every: float = 0.002) -> None:
        """Wait until a cast has ended for each volume."""
        columns = self._volumes.c
        during = "creating" if method == "create_volume" else "deleting"
        left = sa.select(sa.func.count()).where(columns.id.in_(ids), columns.status == during)
        deadline = time.monotonic() + _DEADLINE
        with self._engine.connect() as connection:
            while count := connection.scalar(left):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{count} of {len(ids)} volumes are still {during}")
                time.sleep(every)

    def _write(self, processes: int) -> Path:
        path = self._folder / f"holdfast-{processes}.conf"
        path.write_text(
            _CONFIG.format(
                node=NODE,
                backend=BACKEND,
                bus=self._bus,
                state=self._folder / "state",
                database=self._database,
                processes=processes,
                driver=self._driver,
                options=self._options,
            )
        )
        return path


def _sample() -> dict[str, dict[str, Any]]:
    """Arguments of real casts, as they came off a bus."""
    folder = Path(__file__).resolve().parent.parent / "tests" / "unit" / "rpc" / "wire"
    found = {}
    for method in ("create_volume", "delete_volume"):
        samples = json.loads((folder / f"cinder-volume.{method}.json").read_text())
        found[method] = samples[0]["envelope"]["oslo.message"]["args"]
    return found
