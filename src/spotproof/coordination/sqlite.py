"""Leases in one SQLite file, for roots on this machine: many processes, no server, nothing durable needed."""

import sqlite3
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from spotproof.coordination.lease import Lease, LeaseState
from spotproof.core.clock import Clock
from spotproof.core.errors import CoordinationError
from spotproof.core.ids import ProcessIdentity

_BUSY_SECONDS = 10.0
_TABLE = """
CREATE TABLE IF NOT EXISTS leases (
    shard INTEGER PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, held INTEGER NOT NULL,
    expires_at REAL NOT NULL, position INTEGER NOT NULL,
    host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, started REAL NOT NULL
)
"""
_CLAIM = """
INSERT INTO leases VALUES (?, ?, 1, 1, ?, 0, ?, ?, ?, ?)
ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, epoch = epoch + 1, held = 1,
    expires_at = excluded.expires_at, host = excluded.host, boot = excluded.boot, pid = excluded.pid,
    started = excluded.started
RETURNING epoch
"""


class SqliteCoordinator:
    """A lease ends when its time is up, or when its process is seen dead. Safe among processes and threads.

    Times are wall times: a clock that jumps ends leases early or late, which costs double work and nothing else.
    """

    def __init__(self, path: Path, ttl_seconds: float, clock: Clock, identity: ProcessIdentity) -> None:
        self._path = path
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._identity = identity
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def acquire(self, shards: Iterable[int], owner: str) -> Lease | None:
        """See `Coordinator.acquire`."""
        now, me = self._clock.now(), self._identity
        with self._transaction() as connection:
            held = {row[0]: row[1:] for row in connection.execute(
                "SELECT shard, expires_at, host, boot, pid, started FROM leases WHERE held")}  # fmt: skip
            for shard in shards:
                if shard in held and not self._is_over(held[shard], now):
                    continue
                row = (shard, owner, now + self._ttl_seconds, me.host, me.boot, me.pid, me.started)
                (epoch,) = connection.execute(_CLAIM, row).fetchone()
                return Lease(shard, owner, epoch)
        return None

    def renew(self, lease: Lease, position: int) -> bool:
        """See `Coordinator.renew`."""
        values = (self._clock.now() + self._ttl_seconds, position, lease.shard, lease.owner, lease.epoch)
        with self._transaction() as connection:
            done = connection.execute(
                "UPDATE leases SET expires_at = ?, position = ? WHERE shard = ? AND owner = ? AND epoch = ? AND held",
                values,
            )
            return done.rowcount == 1

    def release(self, lease: Lease) -> None:
        """See `Coordinator.release`."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE leases SET held = 0 WHERE shard = ? AND owner = ? AND epoch = ?",
                (lease.shard, lease.owner, lease.epoch),
            )

    def states(self) -> list[LeaseState]:
        """See `Coordinator.states`."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT shard, owner, epoch, expires_at, position, host, boot, pid, started FROM leases WHERE held"
            ).fetchall()
        return [
            LeaseState(Lease(shard, owner, epoch), expires_at, position, _alive(ProcessIdentity(*process)))
            for shard, owner, epoch, expires_at, position, *process in rows
        ]

    def close(self) -> None:
        """See `Coordinator.close`."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _is_over(self, row: tuple[float, str, str, int, float], now: float) -> bool:
        return row[0] <= now or ProcessIdentity(*row[1:]).is_dead() is True

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                connection = self._opened()
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    yield connection
            except sqlite3.Error as error:
                # Opened anew the next time: the file may have been damaged or replaced under us.
                with suppress(sqlite3.Error):
                    if self._connection is not None:
                        self._connection.close()
                self._connection = None
                raise CoordinationError(
                    f"{self._path}: leases cannot be had ({error}); work goes on without them. If this stays, delete "
                    "the file: nothing is lost with it"
                ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                # Not a database (any more): a machine that lost power may leave this. Leases are worth nothing old.
                self._path.unlink(missing_ok=True)
                self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        # No fsync: a lease need not outlive the machine. Not WAL: it needs shared memory, which network folders lack.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_TABLE)
        return connection


def _alive(process: ProcessIdentity) -> bool | None:
    dead = process.is_dead()
    return None if dead is None else not dead
