"""Leases as objects in the root, changed by compare-and-swap: for object stores, with nothing else to run."""

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from spotproof.coordination.lease import Lease, LeaseState
from spotproof.core.clock import Clock
from spotproof.core.errors import CoordinationError, NotFound, OutcomeUnknown, Stale, StorageError
from spotproof.core.ids import ProcessIdentity, new_nonce
from spotproof.storage.store import Store

FOLDER = "leases"
_SWAPS_MAX = 3


@dataclass(frozen=True)
class _Record:
    """The body of a lease object. `nonce` is that of the acquisition; `renewals` makes every body another one."""

    owner: str
    epoch: int
    held: bool
    expires_at: float
    position: int
    nonce: str
    renewals: int
    host: str
    boot: str
    pid: int
    started: float

    def process(self) -> ProcessIdentity:
        return ProcessIdentity(self.host, self.boot, self.pid, self.started)

    def body(self) -> bytes:
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True)
class _Seen:
    """A lease object as last read, and when this version was first seen (own monotonic clock)."""

    etag: str
    record: _Record
    since: float


class ObjectCoordinator:
    """A lease ends when its time is up by this machine's wall clock, when its object has not changed for its life by
    this process's monotonic clock (a machine with a wrong clock must not block for ever), or when its process is seen
    dead on this machine. Safe among threads.
    """

    def __init__(self, store: Store, ttl_seconds: float, clock: Clock, identity: ProcessIdentity) -> None:
        self._store = store
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._identity = identity
        self._seen: dict[int, _Seen] = {}
        self._lock = threading.Lock()

    def acquire(self, shards: Iterable[int], owner: str) -> Lease | None:
        """See `Coordinator.acquire`; begins elsewhere for each owner, so that two seldom ask for the same shard."""
        candidates = list(shards)
        offset = sum(owner.encode()) % len(candidates) if candidates else 0
        with self._lock:
            try:
                etags = {info.path: info.etag for info in self._store.list(FOLDER)}
                for shard in candidates[offset:] + candidates[:offset]:
                    lease = self._claim(shard, owner, etags.get(_path(shard)))
                    if lease is not None:
                        return lease
            except StorageError as error:
                raise _cannot(error) from error
        return None

    def renew(self, lease: Lease, position: int) -> bool:
        """See `Coordinator.renew`."""
        with self._lock:
            return self._write_held(lease, held=True, position=position)

    def release(self, lease: Lease) -> None:
        """See `Coordinator.release`."""
        with self._lock:
            self._write_held(lease, held=False, position=None)

    def states(self) -> list[LeaseState]:
        """See `Coordinator.states`."""
        with self._lock:
            try:
                found = [(info.path, info.etag) for info in self._store.list(FOLDER)]
                seen = [(shard, self._look(shard, etag)) for path, etag in found if (shard := _shard(path)) is not None]
            except StorageError as error:
                raise _cannot(error) from error
        return [
            LeaseState(
                Lease(shard, one.record.owner, one.record.epoch),
                one.record.expires_at,
                one.record.position,
                None if (dead := one.record.process().is_dead()) is None else not dead,
            )
            for shard, one in seen
            if one is not None and one.record.held
        ]

    def close(self) -> None:
        """Nothing is open."""

    def _claim(self, shard: int, owner: str, etag: str | None) -> Lease | None:
        before = None if etag is None else self._look(shard, etag)
        if before is not None and not self._is_over(before):
            return None
        epoch = before.record.epoch + 1 if before is not None else 1
        me = self._identity
        record = _Record(
            owner=owner,
            epoch=epoch,
            held=True,
            expires_at=self._clock.now() + self._ttl_seconds,
            position=before.record.position if before is not None else 0,
            nonce=new_nonce(),
            renewals=0,
            host=me.host,
            boot=me.boot,
            pid=me.pid,
            started=me.started,
        )
        ours = self._swap(shard, record, before.etag if before is not None else None)
        return Lease(shard, owner, epoch) if ours else None

    def _is_over(self, seen: _Seen) -> bool:
        record = seen.record
        return (
            not record.held
            or record.expires_at <= self._clock.now()
            or self._clock.monotonic() - seen.since >= self._ttl_seconds
            or record.process().is_dead() is True
        )

    def _look(self, shard: int, etag: str) -> _Seen | None:
        """The lease object, read only if it changed since the last look; None if it is no lease."""
        known = self._seen.get(shard)
        if known is not None and known.etag == etag:
            return known
        try:
            body, current = self._store.read_with_etag(_path(shard))
            record = _Record(**json.loads(body))
        except NotFound:
            return None
        except (ValueError, TypeError) as error:
            raise CoordinationError(f"{self._store.uri}/{_path(shard)} is not a lease ({error}): delete it") from error
        self._seen[shard] = _Seen(current, record, self._clock.monotonic())
        return self._seen[shard]

    def _write_held(self, lease: Lease, held: bool, position: int | None) -> bool:
        known = self._seen.get(lease.shard)
        if known is None or (known.record.owner, known.record.epoch) != (lease.owner, lease.epoch):
            return False
        record = replace(
            known.record,
            held=held,
            renewals=known.record.renewals + 1,
            expires_at=self._clock.now() + self._ttl_seconds,
            position=known.record.position if position is None else position,
        )
        try:
            return self._swap(lease.shard, record, known.etag)
        except StorageError as error:
            raise _cannot(error) from error

    def _swap(self, shard: int, record: _Record, etag: str | None) -> bool:
        """Compare-and-swap; True if our record stands there. An unclear answer is resolved by reading back."""
        for _ in range(_SWAPS_MAX):
            try:
                new = self._store.replace(_path(shard), record.body(), etag)
            except (Stale, OutcomeUnknown):
                try:
                    body, new = self._store.read_with_etag(_path(shard))
                    standing = _Record(**json.loads(body))
                except (NotFound, ValueError, TypeError):
                    return False
                if standing.nonce != record.nonce:
                    self._seen[shard] = _Seen(new, standing, self._clock.monotonic())
                    return False
                if standing.renewals != record.renewals:
                    etag = new  # the acquisition is ours, but an earlier renewal stands: put this one over it
                    continue
            self._seen[shard] = _Seen(new, record, self._clock.monotonic())
            return True
        return False


def _path(shard: int) -> str:
    return f"{FOLDER}/{shard:05d}.json"


def _shard(path: str) -> int | None:
    name = path.removeprefix(f"{FOLDER}/").removesuffix(".json")
    return int(name) if name.isdigit() else None


def _cannot(error: StorageError) -> CoordinationError:
    return CoordinationError(f"leases cannot be had ({error}); work goes on without them")
