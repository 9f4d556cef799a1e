# SPDX-License-Identifier: Apache-2.0
"""Take, renew, release and adopt slots: one conditional UPDATE each (spec/cluster §3, §5).

The number of affected rows decides. A transaction whose answer is lost is read back: owner and
epoch show whether it was committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from worker.journal.errors import JournalRefused
from worker.journal.slots.conflicts import repeated, until_granted
from worker.journal.slots.ownership import OWNED, Holder, Ownership
from worker.journal.slots.slot_table import METADATA, SECOND, SLOTS, clock_of
from worker.journal.transaction import Transactions

LATELY = 60.0
"""Seconds for which an instance still counts after its lease has ended and before its slot is
adopted. After an outage of the database all start again, one after the other, and the first one
has to be killed in time if it is paused before the second one is there."""


@dataclass(frozen=True)
class OtherInstances:
    """The other instances of a pool.

    :param living: how many of them hold slots, or did lately.
    :param known: whether another host has ever had a slot, and so may be back at any time.
    """

    living: int = 0
    known: bool = False

    @property
    def may_adopt(self) -> bool:
        """Whether one of them may adopt operations of this process, or will when it is back."""
        return self.living > 0 or self.known


@dataclass(frozen=True)
class Slot:
    """One row of the table.

    :param expires_in: seconds until the lease expires, by the server's clock; negative after.
    :param renewed_before: seconds since the last renewal.
    """

    slot: str
    pool: str
    host: str
    owner: str | None
    instance: str | None
    epoch: int
    writes: int
    armed: bool
    orphaned: bool
    expires_in: float
    renewed_before: float
    node: str | None
    pid: int | None
    adopted_by: str | None

    @property
    def is_free(self) -> bool:
        """Whether no process owns it."""
        return self.owner is None

    @property
    def length(self) -> float:
        """Seconds of the lease from its last renewal to its end."""
        return self.expires_in + self.renewed_before

    def is_expired(self, margin: float) -> bool:
        """Whether its owner has not renewed the lease, and cannot act any more if it is armed."""
        return self.owner is not None and self.expires_in < -margin

    def is_adoptable(self, margin: float) -> bool:
        """Whether other processes of the pool may take it."""
        return self.orphaned if self.is_free else self.armed and self.is_expired(margin)


class Slots:
    """The slots in one journal.

    :param transactions: of the journal, or of a connection of their own.
    :raises JournalError: from each method: the database does not do it.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._now = clock_of(transactions.engine)

    def upgrade(self) -> None:
        """Create the table."""
        METADATA.create_all(self._transactions.engine)

    def close(self) -> None:
        """Drop the connections."""
        self._transactions.engine.dispose()

    def find(self, slot: str) -> Slot | None:
        """Return one slot; None where there is none of that name."""
        found = self._list(SLOTS.c.slot == slot)
        return found[0] if found else None

    def of_pool(self, pool: str) -> list[Slot]:
        """Return the slots of a pool."""
        return self._list(SLOTS.c.pool == pool)

    def every(self) -> list[Slot]:
        """Return all slots, by their names."""
        return self._list()

    @repeated
    def take(
        self,
        slot: str,
        pool: str,
        host: str,
        holder: Holder,
        *,
        ttl: float,
        former: Slot | None,
        expired: float | None = None,
    ) -> Ownership | None:
        """Become the owner of a slot, without being armed; return None where that failed.

        :param former: the slot as it was read, whose owner may be replaced; None for a new one.
        :param expired: seconds for which its lease has to be over; None where its owner is known
            to be dead, or has given it up.
        """
        values = self._values(pool, host, holder, ttl)
        if former is None:
            return self._insert(slot, holder, values)
        conditions = [SLOTS.c.slot == slot, SLOTS.c.epoch == former.epoch, _owner(former.owner)]
        if expired is not None:
            conditions.append(self._is_past(expired))
        change = sa.update(SLOTS).where(*conditions)
        with self._transactions.changing(fenced=False) as connection:
            done = connection.execute(change.values(**values, epoch=former.epoch + 1)).rowcount
        return Ownership(slot, holder.owner, former.epoch + 1) if done else None

    @repeated
    def renew(
        self, ownership: Ownership, pool: str, *, ttl: float, armed: bool
    ) -> OtherInstances | None:
        """Extend a lease; return the other instances of the pool, None where the slot is lost."""
        change = sa.update(SLOTS).where(*OWNED)
        values = {"writes": SLOTS.c.writes + 1, "armed": armed, **self._lease(ttl)}
        ours = SLOTS.alias()
        living = sa.and_(
            SLOTS.c.owner.is_not(None), SLOTS.c.expires_at > self._now - int(LATELY * SECOND)
        )
        others = sa.select(
            sa.func.count(sa.distinct(sa.case((living, SLOTS.c.instance)))),
            sa.func.count(sa.case((SLOTS.c.host != ours.c.host, 1))),
        ).where(
            ours.c.slot == ownership.slot,
            SLOTS.c.pool == pool,
            SLOTS.c.instance != ours.c.instance,
        )
        with self._transactions.changing(fenced=False) as connection:
            if not connection.execute(change.values(**values), ownership.values).rowcount:
                return None
            found, known = connection.execute(others).one()
            return OtherInstances(found, known > 0)

    @repeated
    def release(
        self, ownership: Ownership, has_unfinished: Callable[[sa.Connection], bool]
    ) -> bool:
        """Give a slot up: others may take it at once; return whether they have a reason to.

        :param has_unfinished: reads whether it has unfinished operations, after the last
            transaction of this process has ended.
        """
        change = sa.update(SLOTS).where(*OWNED)
        values = {"owner": None, "armed": False, "expires_at": self._now}
        mark = sa.update(SLOTS).where(SLOTS.c.slot == ownership.slot)
        with self._transactions.changing(fenced=False) as connection:
            # First: it waits for a transaction that has written the row, and is not committed.
            if not connection.execute(change.values(**values), ownership.values).rowcount:
                return False
            if orphaned := has_unfinished(connection):
                connection.execute(mark.values(orphaned=True))
            return orphaned

    @repeated
    def expire(self, ownership: Ownership, seconds: float) -> None:
        """Let a lease end soon: the process is about to be killed."""
        change = sa.update(SLOTS).where(*OWNED)
        with self._transactions.changing(fenced=False) as connection:
            connection.execute(
                change.values(
                    armed=True,
                    expires_at=self._now + int(seconds * SECOND),
                    writes=SLOTS.c.writes + 1,  # others count from here
                ),
                ownership.values,
            )

    @repeated
    def give_up_for(
        self, slot: Slot, *, expired: float, pool: str | None = None, orphaned: bool
    ) -> bool:
        """Free a slot in the name of its owner, which does not renew it; return whether it is done.

        For operators, who know that the owner has ended.

        :param expired: seconds for which its lease has to be over.
        :param pool: the pool whose processes adopt it, instead of its own.
        """
        conditions = [
            SLOTS.c.slot == slot.slot,
            SLOTS.c.epoch == slot.epoch,
            _owner(slot.owner),
            sa.or_(SLOTS.c.owner.is_(None), self._is_past(expired)),
        ]
        values: dict[str, Any] = {"owner": None, "armed": False, "orphaned": orphaned}
        if pool is not None:
            values["pool"] = pool
        change = sa.update(SLOTS).where(*conditions).values(**values, epoch=slot.epoch + 1)
        with self._transactions.changing(fenced=False) as connection:
            return bool(connection.execute(change).rowcount)

    @repeated
    def offer(self, slot: str, pool: str, host: str) -> None:
        """Make a free slot with unfinished operations, for a process of the pool to adopt."""
        values = {"pool": pool, "host": host, "orphaned": True}
        change = sa.update(SLOTS).where(SLOTS.c.slot == slot, SLOTS.c.owner.is_(None))
        new = {"slot": slot, "epoch": 0, "writes": 0, "armed": False, "owner": None}
        with self._transactions.changing(fenced=False) as connection:
            if not connection.execute(change.values(**values)).rowcount:
                times = {"expires_at": self._now, "renewed_at": self._now}
                connection.execute(sa.insert(SLOTS).values(**new, **values, **times))

    def rename_pool(self, former: str, pool: str) -> int:
        """Give the slots of a pool, whose processes have ended, to another one; return how many."""
        ended = sa.or_(SLOTS.c.owner.is_(None), SLOTS.c.expires_at < self._now)
        return self._regroup(pool, SLOTS.c.pool == former, ended)

    def bring_along(self, host: str, former: str, pool: str, instance: str) -> int:
        """Give the slots of a host to the pool that it has joined; return how many.

        No process of the new pool would look at those for which the host has no process any more.

        :param instance: of the host; slots that another one owns keep their pool.
        """
        ours = sa.or_(SLOTS.c.owner.is_(None), SLOTS.c.instance == instance)
        return self._regroup(pool, SLOTS.c.host == host, SLOTS.c.pool == former, ours)

    @repeated
    def _regroup(self, pool: str, *conditions: sa.ColumnElement[bool]) -> int:
        change = sa.update(SLOTS).where(*conditions).values(pool=pool)
        with self._transactions.changing(fenced=False) as connection:
            return connection.execute(change).rowcount

    def clear(self, connection: sa.Connection, slot: Slot, margin: float | None, by: str) -> bool:
        """Free a slot that is adopted, in the transaction of its adopter; return whether it is.

        :param margin: seconds for which its lease has to be over; None where its owner is known
            to be dead.
        """
        values = {"owner": None, "armed": False, "orphaned": False, "adopted_by": by}
        change = self._if_adoptable(slot, margin).values(**values, epoch=slot.epoch + 1)
        return bool(connection.execute(change).rowcount)

    @until_granted
    def free(self, slot: Slot, margin: float | None) -> Slot | None:
        """Free a slot that is to be adopted, by one statement; return it, or None where it is not.

        Each commit of an owner on another node of Galera ends a transaction here that has
        written the row, and the longer one takes, the more surely. After this statement the
        former owner cannot commit. The row stays ``armed``: its owner has not given it up.

        :param margin: as for :meth:`clear`.
        """
        change = self._if_adoptable(slot, margin)
        values = {"owner": None, "orphaned": True, "epoch": slot.epoch + 1}
        with self._transactions.changing(fenced=False) as connection:
            if not connection.execute(change.values(**values)).rowcount:
                return None
        return replace(slot, owner=None, orphaned=True, epoch=slot.epoch + 1)

    def _if_adoptable(self, slot: Slot, margin: float | None) -> sa.Update:
        conditions = [
            SLOTS.c.slot == slot.slot,
            SLOTS.c.epoch == slot.epoch,
            _owner(slot.owner),
        ]
        if not slot.is_free and margin is not None:
            conditions += [SLOTS.c.armed.is_(sa.true()), self._is_past(margin)]
        return sa.update(SLOTS).where(*conditions)

    def _insert(self, slot: str, holder: Holder, values: dict[str, Any]) -> Ownership | None:
        new = sa.insert(SLOTS).values(slot=slot, epoch=1, writes=0, **values)
        try:
            with self._transactions.changing(fenced=False) as connection:
                connection.execute(new)
        except JournalRefused as error:
            if isinstance(error.__cause__, sa.exc.IntegrityError):
                return None  # another process made it meanwhile, or an attempt without an answer
            raise
        return Ownership(slot, holder.owner, 1)

    def _list(self, *conditions: sa.ColumnElement[bool]) -> list[Slot]:
        wanted = sa.select(SLOTS, self._now.label("now")).where(*conditions).order_by(SLOTS.c.slot)
        with self._transactions.reading() as connection:
            rows: Sequence[Any] = connection.execute(wanted).all()
        return [_slot(row) for row in rows]

    def _values(self, pool: str, host: str, holder: Holder, ttl: float) -> dict[str, Any]:
        return {
            "pool": pool,
            "host": host,
            "owner": holder.owner,
            "instance": holder.instance,
            "node": holder.node,
            "pid": holder.pid,
            "armed": False,
            "orphaned": False,
            **self._lease(ttl),
        }

    def _lease(self, ttl: float) -> dict[str, Any]:
        return {"expires_at": self._now + int(ttl * SECOND), "renewed_at": self._now}

    def _is_past(self, seconds: float) -> sa.ColumnElement[bool]:
        return SLOTS.c.expires_at + int(seconds * SECOND) < self._now


def _owner(owner: str | None) -> sa.ColumnElement[bool]:
    return SLOTS.c.owner.is_(None) if owner is None else SLOTS.c.owner == owner


def _slot(row: Any) -> Slot:
    return Slot(
        slot=row.slot,
        pool=row.pool,
        host=row.host,
        owner=row.owner,
        instance=row.instance,
        epoch=row.epoch,
        writes=row.writes,
        armed=bool(row.armed),
        orphaned=bool(row.orphaned),
        expires_in=(row.expires_at - row.now) / SECOND,
        renewed_before=(row.now - row.renewed_at) / SECOND,
        node=row.node,
        pid=row.pid,
        adopted_by=row.adopted_by,
    )
