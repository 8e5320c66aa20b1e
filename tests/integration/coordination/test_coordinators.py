"""What coordination/lease.py promises, over SQLite and over lease objects in every kind of store."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from spotproof.coordination.event_log import EventLog, read_events
from spotproof.coordination.lease import Coordinator
from spotproof.coordination.objects import ObjectCoordinator
from spotproof.coordination.sqlite import SqliteCoordinator
from spotproof.core.clock import ManualClock, SystemClock
from spotproof.core.errors import AlreadyExists, OutcomeUnknown, StorageUnavailable
from spotproof.core.events import WorkerReady
from spotproof.core.ids import ProcessIdentity
from spotproof.storage.memory import MemoryStore
from tests.integration.conftest import store_of

TTL = 10.0
ME = ProcessIdentity.current()
ELSEWHERE = replace(ME, host="another-machine")
Open = Callable[[ProcessIdentity], Coordinator]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "memory", "local", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Open:
    """Opens one more coordinator over the same leases, as another process would."""
    if request.param == "sqlite":
        return lambda identity: SqliteCoordinator(tmp_path / "leases.sqlite", TTL, clock, identity)
    store = store_of(request.param, request)
    return lambda identity: ObjectCoordinator(store, TTL, clock, identity)


def test_each_shard_has_one_holder(opened: Open) -> None:
    a, b = opened(ME), opened(ELSEWHERE)
    leases = [one.acquire(range(4), name) for one, name in ((a, "a"), (b, "b"), (a, "a"), (b, "b"))]
    assert sorted(lease.shard for lease in leases if lease) == [0, 1, 2, 3]
    assert a.acquire(range(4), "a") is None
    assert b.acquire(range(4), "b") is None


def test_a_released_shard_is_free_and_its_epoch_grows(opened: Open) -> None:
    a, b = opened(ME), opened(ELSEWHERE)
    first = a.acquire([7], "a")
    assert first is not None
    a.release(first)
    second = b.acquire([7], "b")
    assert second is not None
    assert second.epoch > first.epoch
    a.release(first)  # no longer held: silent, and b keeps it
    assert b.renew(second, 5)


def test_a_silent_holder_loses_its_shard_and_learns_of_it(opened: Open, clock: ManualClock) -> None:
    a, b = opened(ELSEWHERE), opened(replace(ELSEWHERE, host="a-third"))
    first = a.acquire([1], "a")
    assert first is not None
    assert b.acquire([1], "b") is None
    clock.advance(TTL * 0.6)
    assert a.renew(first, 10)
    clock.advance(TTL * 0.6)
    assert b.acquire([1], "b") is None, "it was renewed"
    clock.advance(TTL * 2)
    second = b.acquire([1], "b")
    assert second is not None
    assert second.epoch > first.epoch
    assert not a.renew(first, 20)
    assert b.renew(second, 20)


def test_a_dead_process_of_this_machine_is_not_waited_for(opened: Open) -> None:
    dead = opened(replace(ME, pid=2**22 - 3, started=1.0))
    assert dead.acquire([3], "dead") is not None
    assert opened(ME).acquire([3], "alive") is not None


def test_a_corrupt_lease_file_is_begun_anew(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "leases.sqlite").write_bytes(b"this is no database" * 100)
    coordinator = SqliteCoordinator(tmp_path / "leases.sqlite", TTL, clock, ME)
    lease = coordinator.acquire([1], "a")
    assert lease is not None
    assert coordinator.renew(lease, 5)


class Flaky(MemoryStore):
    """Fails every other create: before it, after it, or with its own success said to be another's."""

    calls = 0

    def create(self, path: str, body: bytes) -> None:
        Flaky.calls += 1
        if Flaky.calls % 4 == 1:
            raise StorageUnavailable("away")
        super().create(path, body)
        if Flaky.calls % 4 == 2:
            raise OutcomeUnknown("the reply was lost")
        if Flaky.calls % 4 == 3:
            raise AlreadyExists("the reply to a retry")


def test_no_event_is_lost_or_told_twice_by_a_store_that_fails() -> None:
    store = Flaky()
    log = EventLog(store, "w0", 1, SystemClock(), flush_seconds=1000)
    for number in range(50):
        log.record(WorkerReady(float(number)))
        log.flush()
    for _ in range(8):
        log.flush()
    log.close()
    told = [recorded.event.seconds for recorded in read_events(store) if isinstance(recorded.event, WorkerReady)]
    assert told == [float(number) for number in range(50)]
