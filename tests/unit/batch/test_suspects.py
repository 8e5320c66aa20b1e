"""Rows that kill their process: found by what was in hand, and never another row blamed."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spotproof.batch.computation import Computed
from spotproof.batch.job import Errors
from spotproof.batch.suspects import Step, Suspect, after_death, steps
from tests.unit.batch.harness import Bench


class Died(BaseException):
    """The process is gone; nothing that it had in memory is left."""


class Deadly:
    """A computation whose process dies of certain rows, in `prepare` or in the call, and when it is killed."""

    concurrency = 1
    batch_rows = 1

    def __init__(self, poison: Sequence[int], in_prepare: bool, kills: Sequence[int]) -> None:
        self._poison = set(poison)
        self._in_prepare = in_prepare
        self._kills = set(kills)
        self.calls = 0  # over all lives of the process

    def prepare(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        if self._in_prepare:
            self._die_of(rows)
        return rows

    def start(self, prepared: pa.RecordBatch, rows: int) -> "Future[Computed]":
        self.calls += 1
        if self.calls in self._kills:
            raise Died
        self._die_of(prepared)
        done: Future[Computed] = Future()
        columns = pa.RecordBatch.from_arrays([prepared.column(0)], ["y"])
        done.set_result(Computed(columns, np.arange(rows, dtype=np.int64)))
        return done

    def _die_of(self, rows: pa.RecordBatch) -> None:
        if self._poison & set(rows.column(0).to_pylist()):
            raise Died


def live_until_done(bench: Bench, deadly: Deadly, most_deaths: int) -> int:
    """Run again after every death, as a parent does. Returns the deaths."""
    suspects: list[Suspect] = []
    for deaths in range(most_deaths + 1):
        bench.watch.hands.clear()
        try:
            assert bench.run(deadly, suspects=suspects)
            return deaths
        except Died:
            # The last word before the run's own clearing: a dead process clears nothing.
            hand = bench.watch.hands[-2]
            suspects = after_death(suspects, [(0, low, high) for low, high in hand])
    raise AssertionError(f"still dying after {most_deaths} deaths; suspects: {suspects}")


def bound(batch: int, poison: int, max_crashes: int, rows: int) -> int:
    # Each poison row: to be suspected, to be halved down from a batch, to be alone twice. Narrowing a range by what
    # was read ahead can lose the trail, at most once for each batch that was in hand then.
    return (poison + 4) * (max_crashes + batch.bit_length() + 3)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), batch=st.integers(1, 20), max_crashes=st.integers(1, 4), in_prepare=st.booleans())
def test_exactly_the_poison_is_refused(data: st.DataObject, batch: int, max_crashes: int, in_prepare: bool) -> None:
    rows = data.draw(st.integers(1, 60))
    poison = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=2, unique=True))
    bench = Bench(rows, batch, Errors(max_crashes=max_crashes))
    bench.deadly = (Died,)
    live_until_done(bench, Deadly(poison, in_prepare, ()), bound(batch, len(poison), max_crashes, rows))
    assert set(bench.refused()) == set(poison)
    assert bench.out() == [n for n in range(rows) if n not in poison]
    assert all(refusal.error_type == "ProcessKilled" for refusal in bench.refused().values())


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(2, 12),
    rows=st.integers(5, 60),
    kills=st.lists(st.integers(1, 40), max_size=12, unique=True),
    max_crashes=st.integers(1, 3),
)
@example(batch=2, rows=5, kills=[1, 2, 3], max_crashes=1)
def test_kills_from_outside_refuse_no_row(batch: int, rows: int, kills: list[int], max_crashes: int) -> None:
    bench = Bench(rows, batch, Errors(max_crashes=max_crashes))
    bench.deadly = (Died,)
    refusing = Deadly((), False, kills)
    alone: dict[tuple[int, int], int] = {}
    suspects: list[Suspect] = []
    for _ in range(len(kills) + 1):
        bench.watch.hands.clear()
        try:
            bench.run(refusing, suspects=suspects)
            break
        except Died:
            hand = bench.watch.hands[-2]
            if len(hand) == 1 and hand[0][1] - hand[0][0] == 1:
                alone[hand[0]] = alone.get(hand[0], 0) + 1
            suspects = after_death(suspects, [(0, low, high) for low, high in hand])
    twice_alone = {low for (low, _), times in alone.items() if times >= 2}
    assert set(bench.refused()) <= twice_alone
    assert sorted([*bench.out(), *bench.refused()]) == list(range(rows))


@settings(max_examples=40, deadline=None)
@given(poison=st.integers(0, 39), batch=st.integers(1, 10), kills=st.lists(st.integers(1, 40), max_size=6, unique=True))
def test_kills_from_outside_do_not_hide_the_poison(poison: int, batch: int, kills: list[int]) -> None:
    bench = Bench(40, batch)
    bench.deadly = (Died,)
    live_until_done(bench, Deadly([poison], False, kills), len(kills) * 8 + bound(batch, 1, 3, 40))
    assert poison in bench.refused()
    assert sorted([*bench.out(), *bench.refused()]) == list(range(40))


def test_rows_read_ahead_are_not_alone() -> None:
    suspects = after_death([], [(0, 1, 2), (0, 2, 3), (0, 3, 4)])
    assert suspects == [Suspect(0, n, n + 1, 1, 0) for n in (1, 2, 3)]
    assert after_death(suspects, [(0, 2, 3)])[1] == Suspect(0, 2, 3, 2, 1)


def test_narrowed_to_what_both_deaths_held() -> None:
    assert after_death([Suspect(0, 0, 10, 1)], [(0, 5, 15)]) == [Suspect(0, 5, 10, 2)]
    assert after_death([Suspect(0, 0, 10, 1)], [(1, 5, 15)]) == [Suspect(0, 0, 10, 1), Suspect(1, 5, 15, 1)]


@pytest.mark.parametrize(
    ("suspect", "plan"),
    [
        (Suspect(0, 10, 20, 2), [Step(0, 30)]),
        (
            Suspect(0, 10, 20, 3),
            [Step(0, 10), Step(10, 15, commit_first=True), Step(15, 20, commit_first=True), Step(20, 30, True)],
        ),
        (Suspect(0, 29, 30, 3, 1), [Step(0, 29), Step(29, 30, commit_first=True)]),
        (Suspect(0, 0, 1, 3, 2), [Step(0, 1, commit_first=True, refuse=True), Step(1, 30, commit_first=True)]),
        (Suspect(0, 40, 50, 9, 2), [Step(0, 30)]),
    ],
)
def test_steps(suspect: Suspect, plan: list[Step]) -> None:
    assert steps(0, 30, [suspect], max_crashes=3) == plan


@given(
    start=st.integers(0, 20),
    length=st.integers(1, 40),
    spans=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20), st.integers(0, 5), st.integers(0, 3)), max_size=5),
)
def test_steps_cover_every_row_once(start: int, length: int, spans: list[tuple[int, int, int, int]]) -> None:
    suspects = [Suspect(0, at, at + size, deaths, alone) for at, size, deaths, alone in spans]
    plan: list[Any] = steps(start, start + length, suspects, 3)
    assert [n for step in plan for n in range(step.start, step.stop)] == list(range(start, start + length))
    assert all(step.stop - step.start == 1 for step in plan if step.refuse)
