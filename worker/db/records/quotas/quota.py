# SPDX-License-Identifier: Apache-2.0
"""Quota: usages of projects, reservations, and their release.

Source: spec/volume-rpc §7. Amounts that a row's end releases are taken off
``in_use`` at once, without a reservation: they cannot be refused, and one
transaction with the row cannot be repeated by half.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from drivers.interface.records import Record
from flows.errors import OverQuota
from worker.db import models
from worker.db.column_values import is_key, now
from worker.db.commit import CommittedBefore, perhaps_committed
from worker.db.database import Database
from worker.db.records.quotas.quota_limits import QuotaLimits
from worker.db.records.quotas.usage import Usages
from worker.db.row_statements.prepared_statement import PreparedStatement

_T = models.quota_usages
_R = models.reservations
_TYPES = models.volume_types

_OPEN = (
    sa.select(_R)
    .where(_R.c.uuid.in_(sa.bindparam("ids", expanding=True)), _R.c.deleted == sa.false())
    .order_by(_R.c.usage_id)
    .with_for_update()
)
_KNOWN = sa.select(_R.c.id).where(_R.c.uuid.in_(sa.bindparam("ids", expanding=True)))
_CLOSE = sa.update(_R).where(_R.c.id == sa.bindparam("which"), _R.c.deleted == sa.false())
_RESERVE = sa.insert(_R)
_TYPE_NAME = sa.select(_TYPES.c.name).where(_TYPES.c.id == sa.bindparam("which"))


def _less(column: sa.Column[int], amount: str) -> sa.Case[int]:
    by: sa.BindParameter[int] = sa.bindparam(amount, type_=sa.Integer())
    return sa.case((column - by > 0, column - by), else_=0)


_RELEASE = PreparedStatement(
    sa.update(_T)
    .where(
        _T.c.project_id == sa.bindparam("project"),
        _T.c.resource.in_(sa.bindparam("resources", expanding=True)),
        _T.c.deleted == sa.false(),
    )
    .values(in_use=_less(_T.c.in_use, "amount"), updated_at=sa.bindparam("at"))
)
_SETTLE = (
    sa.update(_T)
    .where(_T.c.id == sa.bindparam("which"))
    .values(
        reserved=_less(_T.c.reserved, "held"),
        in_use=_less(_T.c.in_use, "unused"),
        updated_at=sa.bindparam("at"),
    )
)


class Quotas:
    """Reservations against the limits of a project.

    :param limits: by resource; -1 means none. The database's own go first.
    :param expire: seconds after which others may give an open reservation back.
    :param count_snapshots: whether snapshots count as gigabytes.
    """

    def __init__(
        self,
        database: Database,
        *,
        limits: Mapping[str, int],
        expire: int,
        count_snapshots: bool = True,
    ) -> None:
        self._db = database
        self._expire = datetime.timedelta(seconds=expire)
        self._limits = QuotaLimits(limits)
        self._usages = Usages(count_snapshots)

    def reserve(
        self,
        project_id: str,
        amounts: Mapping[str, int],
        *,
        volume_type_id: str | None = None,
        key: str | None = None,
    ) -> list[str]:
        """Reserve amounts, also under the name of the volume type; all or none.

        :param key: the id of all of them; while they are open, a second try adds nothing.
        :returns: the ids of the reservations, for ``commit`` and ``rollback``.
        :raises OverQuota: a limit would be passed; the text has the numbers.
        """

        fresh = _Ids(key)

        def work(connection: sa.Connection) -> list[str]:
            if perhaps_committed(connection) and _are_known(connection, fresh.given):
                raise CommittedBefore
            if key and connection.execute(_OPEN, {"ids": [key]}).first() is not None:
                return [key]
            wanted = typed(connection, amounts, volume_type_id)
            usages = self._usages.locked(connection, project_id, wanted)
            self._limits.require(connection, project_id, wanted, usages)
            return [
                self._reserve(connection, project_id, name, wanted[name], usage.id, fresh.of(name))
                for name, usage in sorted(usages.items())
            ]

        return self._db.write(work)

    def reserve_for(self, resource: Record, amounts: Mapping[str, int]) -> None:
        """Reserve amounts under the id of a resource."""
        type_id = resource.volume_type_id
        self.reserve(resource.project_id, amounts, volume_type_id=type_id, key=resource.id)

    def require_volume_size(self, project_id: str, gib: int) -> None:
        """Compare a size with the limit for one volume. :raises OverQuota: it is too large."""
        limit = self.limit(project_id, "per_volume_gigabytes")
        if 0 <= limit < gib:
            raise OverQuota(f"a volume of project {project_id} may have {limit} GiB, not {gib}")

    def commit(self, reservation_ids: Sequence[str]) -> None:
        """Turn reservations into use; those that ended before are skipped."""
        self._db.write(lambda connection: settle(connection, reservation_ids, used=True))

    def rollback(self, reservation_ids: Sequence[str]) -> None:
        """Give reservations back; those that ended before are skipped."""
        self._db.write(lambda connection: settle(connection, reservation_ids, used=False))

    def limit(self, project_id: str, resource: str) -> int:
        """Return a project's limit of a resource, -1 for none."""
        return self._db.read(lambda c: self._limits.of(c, project_id, [resource])[resource])

    def _reserve(
        self,
        connection: sa.Connection,
        project_id: str,
        resource: str,
        delta: int,
        usage_id: int,
        reservation: str,
    ) -> str:
        connection.execute(
            _RESERVE,
            {
                "uuid": reservation,
                "usage_id": usage_id,
                "project_id": project_id,
                "resource": resource,
                "delta": delta,
                "expire": now() + self._expire,
                "created_at": now(),
                "deleted": False,
            },
        )
        if delta > 0:
            # A negative delta reserves nothing: the amount is free after its commit.
            parameters = {"which": usage_id, "held": -delta, "unused": 0, "at": now()}
            connection.execute(_SETTLE, parameters)
        return reservation


class _Ids:
    """The ids of new reservations: in a second attempt the same.

    :param key: the id of all of them; None gives each its own.
    """

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._by_resource: dict[str, str] = {}

    @property
    def given(self) -> list[str]:
        """The ids that were made; a key is not, and its open reservations are found anyway."""
        return [] if self._key else list(self._by_resource.values())

    def of(self, resource: str) -> str:
        """Return the id of the reservation of a resource."""
        return self._by_resource.setdefault(resource, self._key or str(uuid.uuid4()))


def release(
    connection: sa.Connection,
    project_id: str | None,
    type_name: str | None,
    amounts: Mapping[str, int],
) -> None:
    """Take amounts off a project's use, also under the name of the volume type."""
    for resource, amount in sorted(amounts.items()):
        if amount:
            names = [resource, *([f"{resource}_{type_name}"] if type_name else [])]
            parameters = {"project": project_id, "resources": names, "amount": amount}
            _RELEASE.count(connection, {**parameters, "at": now()})


def settle(connection: sa.Connection, reservation_ids: Iterable[str], *, used: bool) -> None:
    """End reservations: their amounts become used, or are released.

    One that ended before is skipped, so a second try changes nothing.
    """
    ids = [reservation for reservation in reservation_ids if is_key(reservation)]
    if not ids:
        return
    at = now()
    for row in connection.execute(_OPEN, {"ids": ids}).all():
        held, unused = max(row.delta, 0), -row.delta if used else 0
        parameters = {"which": row.usage_id, "held": held, "unused": unused, "at": at}
        connection.execute(_SETTLE, parameters)
        connection.execute(_CLOSE, {"which": row.id, "deleted": True, "deleted_at": at})


def stop_if_settled(connection: sa.Connection, reservation_ids: Sequence[str]) -> None:
    """End a transaction that settles reservations if an earlier attempt has done so.

    A status alone does not show that: it may be the operation's again, for a later request.

    :raises CommittedBefore: it has.
    """
    if not perhaps_committed(connection) or not reservation_ids:
        return
    if connection.execute(_OPEN, {"ids": list(reservation_ids)}).first() is None:
        raise CommittedBefore


def _are_known(connection: sa.Connection, reservation_ids: Sequence[str]) -> bool:
    """Return whether reservations were made, even if they ended since."""
    return connection.execute(_KNOWN, {"ids": list(reservation_ids)}).first() is not None


def typed(
    connection: sa.Connection, amounts: Mapping[str, int], volume_type_id: str | None
) -> dict[str, int]:
    """Return amounts with those under the name of the type, even of a deleted one."""
    wanted = {name: amount for name, amount in amounts.items() if amount}
    name = connection.scalar(_TYPE_NAME, {"which": volume_type_id}) if volume_type_id else None
    if name is not None:
        wanted |= {f"{resource}_{name}": amount for resource, amount in wanted.items()}
    return wanted
