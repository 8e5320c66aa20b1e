"""One shard's run: order, ends, notices, and other workers on the same shard."""

import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spotproof.batch.chain import Writer, commit, read_tip
from spotproof.batch.finish import read_chains
from spotproof.batch.job import Commit
from spotproof.batch.read_ahead import ReadAhead
from spotproof.batch.rows import Results
from spotproof.core.clock import ManualClock
from spotproof.core.errors import StorageDenied
from tests.unit.batch.harness import JOB_ID, Bench, Watching, blocks, record_batch


def double(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    return {"double": batch["x"] * 2}


def stops(bench: Bench) -> list[int]:
    return [info.stop for info in read_chains(bench.store)[0]]


def test_commits_at_so_many_rows() -> None:
    bench = Bench(100, 10)
    bench.limits = Commit(rows=25)
    assert bench.run(double)
    # A commit takes what has come by the time it begins, so that some hold a batch more and the next one less.
    assert stops(bench)[0] >= 30 and 3 <= len(stops(bench)) <= 5
    assert bench.out() == list(range(100))


def test_commits_at_so_many_seconds() -> None:
    bench = Bench(100, 10)
    clock = ManualClock()
    bench.clock, bench.limits = clock, Commit(seconds=30)

    def slow(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        clock.advance(11)
        return double(batch)

    assert bench.run(slow)
    # Waiting rows age from their batch's end: 0, 11, 22, 33 seconds.
    assert stops(bench)[0] in (40, 50) and len(stops(bench)) >= 2


@pytest.mark.parametrize("leave_at", [10, 50, 90])
def test_told_to_leave_everything_computed_is_committed(leave_at: int) -> None:
    bench = Bench(100, 10)
    bench.watch = Watching(lambda rows: rows >= leave_at)
    assert bench.run(double) is False
    assert stops(bench) == [leave_at]
    assert bench.watch.rows == leave_at
    bench.watch = Watching()
    assert bench.run(double) is True
    assert bench.out() == list(range(100))
    assert bench.watch.rows == 100 - leave_at, "nothing is computed twice"


def test_told_before_it_began_nothing_is_computed() -> None:
    bench = Bench(100, 10)
    bench.watch = Watching(lambda rows: True)
    assert bench.run(double) is False
    assert bench.out() == []


@pytest.mark.parametrize("rows", [0, 1, 10, 95])
def test_unknown_rows_are_ended_by_a_final_part(rows: int) -> None:
    bench = Bench(None, 10)
    assert bench.run(double, source=blocks(rows, 10))
    tip = read_tip(bench.store, 0)
    assert (tip.position, tip.final) == (rows, True)
    assert bench.out() == list(range(rows))
    assert bench.run(double, source=blocks(rows, 10, rows)), "a second run finds it done"
    assert read_tip(bench.store, 0) == tip


def test_unknown_rows_left_early_have_no_final_part() -> None:
    bench = Bench(None, 10)
    bench.watch = Watching(lambda rows: rows >= 50)
    assert bench.run(double, source=blocks(100, 10)) is False
    assert read_tip(bench.store, 0).final is False


def test_known_rows_end_in_a_final_part() -> None:
    bench = Bench(20, 10)
    bench.run(double)
    assert [info.final for info in read_chains(bench.store)[0]] == [True]


def test_nothing_is_left_in_hand() -> None:
    bench = Bench(100, 10)
    bench.run(double)
    assert bench.watch.hands[-1] == ()
    assert max(len(hand) for hand in bench.watch.hands) <= 5, "read ahead is bounded"
    assert all(hand == tuple(sorted(hand)) for hand in bench.watch.hands)


def _part_of_another(bench: Bench, start: int, stop: int) -> None:
    rows = record_batch(start, stop)
    columns = [rows.column("file"), rows.column("row"), pa.array([2 * n for n in range(start, stop)], pa.int64())]
    table = pa.table(columns, names=["file", "row", "double"])
    results = Results(start, stop, table, np.arange(start, stop, dtype=np.int64), final=stop == bench.rows)
    tip = read_tip(bench.store, 0)
    assert tip.position == start
    commit(bench.store, 0, tip, results, Writer(JOB_ID, "other", 1, 2), bench.clock)


@pytest.mark.parametrize("theirs", [15, 30, 55, 100])
@pytest.mark.parametrize("limit", [10, 25, 1000])
def test_another_worker_overtakes(theirs: int, limit: int) -> None:
    bench = Bench(100, 10)
    bench.limits = Commit(rows=limit)
    seen: list[int] = []

    def overtaken(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        if not seen:
            _part_of_another(bench, 0, theirs)
        seen.extend(batch["x"].tolist())
        return double(batch)

    assert bench.run(overtaken)
    assert bench.out() == list(range(100)), "each row once, in order"
    repeated = sum(committed.rows_repeated for committed in bench.commits)
    # A row that waited when the overtaking was found out was computed in vain without being counted here.
    assert min(limit, theirs) <= max(repeated, 10) <= max(theirs, 10)
    if limit == 1000:
        assert repeated == theirs


def test_a_store_that_fails_once_loses_nothing() -> None:
    bench = Bench(100, 10)
    bench.limits = Commit(rows=20)
    create, failures = bench.store.create, [1]

    def create_or_fail(path: str, body: bytes) -> None:
        if "parts/" in path and failures:
            failures.pop()
            raise StorageDenied("not now")
        create(path, body)

    bench.store.create = create_or_fail  # type: ignore[method-assign]
    with pytest.raises(StorageDenied):
        bench.run(double)
    assert bench.run(double)
    assert bench.out() == list(range(100))


class TestReadAhead:
    def test_order_and_end(self) -> None:
        assert list(ReadAhead(iter(range(100)), 2)) == list(range(100))

    def test_an_error_comes_at_its_place(self) -> None:
        def source() -> Any:
            yield 1
            yield 2
            raise OSError("torn")

        seen: list[int] = []
        with pytest.raises(OSError, match="torn"):
            seen.extend(iter_into(seen, ReadAhead(source(), 1)))
        assert seen == [1, 2]

    def test_depth_bounds_what_is_made(self) -> None:
        made: list[int] = []

        def source() -> Any:
            for n in range(1000):
                made.append(n)
                yield n

        ahead = ReadAhead(source(), 2)
        assert next(iter(ahead)) == 0
        ahead.close()
        assert len(made) <= 6
        assert not any(thread.name == "spotproof-read" and thread.is_alive() for thread in threading.enumerate())


def iter_into(seen: list[int], items: Any) -> list[int]:
    for item in items:
        seen.append(item)
    return []


def test_each_refused_row_is_told_once() -> None:
    bench = Bench(rows=30)

    def function(batch):
        if (batch["x"] == 17).any():
            raise ValueError("seventeen")
        return {"y": batch["x"]}

    assert bench.run(function)
    assert bench.watch.refusals == [(0, 17)]
