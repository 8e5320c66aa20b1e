"""A worker over several shards: notices, lost leases, no leases, damaged input, others at work."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from spotproof.batch import worker as worker_module
from spotproof.batch.computation import UserFunction
from spotproof.batch.finish import Totals, finish
from spotproof.batch.function import batch_function
from spotproof.batch.inputs.slices import Shard
from spotproof.batch.job import Commit, Input, Job
from spotproof.batch.record import JobRecord, settle_record
from spotproof.batch.refusals import RefusalBudget
from spotproof.batch.rows import RowBlock
from spotproof.batch.verify import verify
from spotproof.batch.worker import Outcome, Place, Worker
from spotproof.coordination.lease import Lease, LeaseState
from spotproof.core.clock import SystemClock
from spotproof.core.errors import CoordinationError, FunctionError, InputError
from spotproof.core.events import Event, NoticeHandled, NoticeReceived, PartCommitted, ShardLeased
from spotproof.notices.notice import Notice
from spotproof.storage.memory import MemoryStore
from tests.unit.batch.harness import JOB_ID, blocks, plan_of

CLOCK = SystemClock()


class Reports:
    """A `Reporter` that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.rows = 0
        self.on_rows: Callable[[int], None] = lambda rows: None

    def event(self, event: Event) -> None:
        self.events.append(event)

    def in_hand(self, shard: int, ranges: Sequence[tuple[int, int]]) -> None:
        pass

    def computed(self, rows: int) -> None:
        self.rows += rows
        self.on_rows(self.rows)

    def parts(self) -> list[PartCommitted]:
        return [event for event in self.events if isinstance(event, PartCommitted)]


class Leases:
    """Leases in memory; `dead` names shards held by a worker that never lets go, `lost` those that renew loses."""

    def __init__(self, held_elsewhere: Sequence[int] = (), lost: Sequence[int] = ()) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, str] = dict.fromkeys(held_elsewhere, "elsewhere")
        self._lost = set(lost)
        self._epoch = 0

    def acquire(self, shards: Iterable[int], owner: str) -> Lease | None:
        with self._lock:
            for shard in shards:
                if shard not in self._held:
                    self._held[shard] = owner
                    self._epoch += 1
                    return Lease(shard, owner, self._epoch)
            return None

    def renew(self, lease: Lease, position: int) -> bool:
        if lease.shard in self._lost:
            self._lost.discard(lease.shard)
            return False
        return True

    def release(self, lease: Lease) -> None:
        with self._lock:
            self._held.pop(lease.shard, None)

    def states(self) -> list[LeaseState]:
        return []

    def close(self) -> None:
        pass


class Silent:
    """A lease store that never answers."""

    def acquire(self, shards: Iterable[int], owner: str) -> Lease | None:
        raise CoordinationError("no answer")

    def renew(self, lease: Lease, position: int) -> bool:
        raise CoordinationError("no answer")

    def release(self, lease: Lease) -> None:
        raise CoordinationError("no answer")

    def states(self) -> list[LeaseState]:
        raise CoordinationError("no answer")

    def close(self) -> None:
        pass


class Root:
    """A root in memory, with shards of so many rows; `None` rows are 35 that only reading can tell."""

    def __init__(self, rows: Sequence[int | None], monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.store = MemoryStore()
        self.damaged: dict[int, int] = {}
        self.job = Job(root=self.store.uri, input=Input("in"), function="unused:unused", **settings)
        plan = plan_of(rows)
        mine = JobRecord(JOB_ID, "job", 0.0, "nonce", {}, {}, plan)
        self.record = settle_record(self.store, mine, CLOCK)
        monkeypatch.setattr(worker_module, "read_shard", self._read_shard)

    def _read_shard(
        self, settings: Any, files: Any, shard: Shard, schema: Any, position: int, batch: int, *, identity: bool
    ) -> Iterator[RowBlock]:
        assert identity
        rows = 35 if shard.rows is None else shard.rows
        torn_at = self.damaged.get(shard.number)
        yield from blocks(rows if torn_at is None else torn_at, batch, position)
        if torn_at is not None:
            raise InputError(f"torn at {torn_at}")

    def worker(
        self, function: Callable[..., Any], coordinator: Any = None, name: str = "w0", **more: Any
    ) -> tuple[Worker, Reports]:
        reports = Reports()
        place = Place(self.store, self.record, self.job, name, 1)
        leases = coordinator or Leases()
        budget = RefusalBudget(self.job.errors)
        return Worker(place, UserFunction(function), leases, CLOCK, reports, budget, **more), reports

    def finish(self) -> Totals:
        totals = finish(self.store, self.record, CLOCK)
        report = verify(self.store)
        assert report.ok, report
        return totals


@batch_function(batch_rows=10)
def double(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    return {"double": batch["x"] * 2}


def test_all_shards_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100, 0, 7, None, 50], monkeypatch)
    worker, reports = root.worker(double)
    assert worker.run() is Outcome.COMPLETE
    assert root.finish() == Totals(192, 192, 0, len(reports.parts()))
    assert reports.rows == 192
    assert [e.shard for e in reports.events if isinstance(e, ShardLeased)] == [0, 1, 2, 3, 4]


def test_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([0, 0], monkeypatch)
    assert root.worker(double)[0].run() is Outcome.COMPLETE
    assert root.finish() == Totals(0, 0, 0, 0)


@pytest.mark.parametrize("at", [10, 50, 100, 130])
def test_a_notice_cuts_no_row(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    root = Root([100, 100], monkeypatch)
    worker, reports = root.worker(double)

    def on_rows(rows: int) -> None:
        if rows == at:
            thread = threading.Thread(target=worker.notice, args=(Notice("test", "terminate", CLOCK.monotonic() + 5),))
            thread.start()
            thread.join()

    reports.on_rows = on_rows
    assert worker.run() is Outcome.INTERRUPTED
    assert sum(part.stop - part.start for part in reports.parts()) == reports.rows == at
    handled = next(e for e in reports.events if isinstance(e, NoticeHandled))
    assert (handled.rows_cut, handled.seconds < 5) == (0, True)
    received = next(e for e in reports.events if isinstance(e, NoticeReceived))
    assert 4 < received.grace_seconds <= 5
    worker, reports = root.worker(double)
    assert worker.run() is Outcome.COMPLETE
    assert reports.rows == 200 - at
    assert root.finish().rows_out == 200


def test_a_notice_commits_what_waits_while_a_batch_is_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100], monkeypatch)
    in_batch, go_on = threading.Event(), threading.Event()

    @batch_function(batch_rows=10)
    def stuck(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        if 50 in batch["x"]:
            in_batch.set()
            assert go_on.wait(10)
        return double(batch)

    worker, reports = root.worker(stuck)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert in_batch.wait(10)
    worker.notice(Notice("test", "terminate", CLOCK.monotonic() + 5))
    worker.notice(Notice("test", "terminate", CLOCK.monotonic() + 5))
    for _ in range(200):
        if reports.parts():
            break
        time.sleep(0.01)
    assert [part.stop for part in reports.parts()] == [50], "durable while the batch is still in hand"
    go_on.set()
    thread.join(10)
    assert reports.parts()[-1].stop == 60
    assert sum(isinstance(e, NoticeReceived) for e in reports.events) == 1
    assert next(e for e in reports.events if isinstance(e, NoticeHandled)).rows_committed == 60


def test_a_notice_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100], monkeypatch)
    worker, reports = root.worker(double)
    worker.notice(Notice("test", "terminate", CLOCK.monotonic()))
    assert worker.run() is Outcome.INTERRUPTED
    assert reports.rows == 0


def test_a_lost_lease_stops_the_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([1000, 20], monkeypatch, lease_seconds=0.03)

    @batch_function(batch_rows=10)
    def slow(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        time.sleep(0.003)
        return double(batch)

    worker, reports = root.worker(slow, Leases(lost=[0]))
    assert worker.run() is Outcome.COMPLETE
    leased = [(e.shard, e.position) for e in reports.events if isinstance(e, ShardLeased)]
    assert leased[0] == (0, 0)
    assert leased[1][0] == 0 and 0 < leased[1][1] < 1000, "it stopped, with all that was computed committed"
    assert reports.rows == 1020, "nothing is computed twice"
    assert root.finish().rows_out == 1020


def test_without_leases_the_job_completes(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100, 30, None], monkeypatch, lease_seconds=0.03, commit=Commit(rows=20))
    workers = [root.worker(double, Silent(), f"w{n}") for n in range(3)]
    threads = [threading.Thread(target=worker.run) for worker, _ in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    totals = root.finish()
    assert totals.rows_out == 165
    parts = [part for _, reports in workers for part in reports.parts()]
    assert sum(part.stop - part.start for part in parts) == 165, "each row is in one part"


def test_waits_for_what_others_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100, 20], monkeypatch)
    worker, reports = root.worker(double, Leases(held_elsewhere=[0]))
    other, _ = root.worker(double, name="other")
    timer = threading.Timer(0.2, other.run)
    timer.start()
    assert worker.run() is Outcome.COMPLETE
    timer.join()
    assert root.finish().rows_out == 120
    assert reports.rows == 20


def test_rows_repeated_are_told_though_no_part_came_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100, 20], monkeypatch)
    other, _ = root.worker(double, name="other", done=[1])
    seen: list[int] = []

    @batch_function(batch_rows=10)
    def overtaken(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        if len(seen) == 9:
            other.run()
        seen.append(1)
        return double(batch)

    worker, reports = root.worker(overtaken)
    assert worker.run() is Outcome.COMPLETE
    assert root.finish().rows_out == 120
    assert [(part.shard, part.rows_repeated) for part in reports.parts()] == [(1, 100)]


def test_damaged_input_keeps_the_rows_before_and_the_other_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100, 50, 20], monkeypatch)
    root.damaged = {0: 70, 2: 0}
    worker, reports = root.worker(double)
    with pytest.raises(InputError, match=r"(?s)2 shards .*shard 0: torn at 70.*shard 2: torn at 0"):
        worker.run()
    assert sum(part.stop - part.start for part in reports.parts()) == 120
    root.damaged = {}
    worker, reports = root.worker(double)
    assert worker.run() is Outcome.COMPLETE
    assert reports.rows == 50
    assert root.finish().rows_out == 170


def test_damaged_input_without_leases_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100, 50], monkeypatch)
    root.damaged = {0: 70}
    with pytest.raises(InputError, match=r"1 shard could not"):
        root.worker(double, Silent())[0].run()


def test_a_broken_function_keeps_what_was_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100], monkeypatch)

    @batch_function(batch_rows=10)
    def broken(batch: dict[str, np.ndarray]) -> Any:
        return double(batch) if batch["x"][0] < 50 else None

    worker, reports = root.worker(broken)
    with pytest.raises(FunctionError, match="NoneType"):
        worker.run()
    assert [part.stop for part in reports.parts()] == [50]


def test_done_shards_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root([100, 20], monkeypatch)
    worker, reports = root.worker(double, done=[0])
    assert worker.run() is Outcome.COMPLETE
    assert [e.shard for e in reports.events if isinstance(e, ShardLeased)] == [1]
