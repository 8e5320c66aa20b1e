"""Rows that the function refuses, and functions that break their contract: two different things."""

import asyncio
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spotproof.batch.computation import UserFunction
from spotproof.batch.function import batch_function
from spotproof.batch.job import Errors
from spotproof.batch.refusals import RefusalBudget, refusal_of
from spotproof.core.errors import FunctionError, InputError, TooManyRefused
from tests.unit.batch.harness import Bench, block, blocks


def raising_at(*bad: int, error: type[BaseException] = ValueError) -> Any:
    def function(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        hit = set(bad) & set(batch["x"].tolist())
        if hit:
            raise error(f"rows {sorted(hit)} are bad")
        return {"double": batch["x"] * 2}

    return function


@pytest.mark.parametrize("bad", [(0,), (999,), (500,), (0, 999), (500, 501, 502), tuple(range(0, 1000, 97))])
def test_only_the_rows_that_raise_are_refused(bad: tuple[int, ...]) -> None:
    bench = Bench(1000, 1000)
    assert bench.run(raising_at(*bad))
    assert set(bench.refused()) == set(bad)
    good = [n for n in range(1000) if n not in bad]
    assert bench.out() == good
    assert bench.table().column("double").to_pylist() == [2 * n for n in good]


def test_a_refusal_tells_the_error() -> None:
    bench = Bench(10, 10)
    bench.run(raising_at(3))
    refusal = bench.refused()[3]
    assert refusal.error_type == "ValueError"
    assert "rows [3] are bad" in refusal.error
    assert len(refusal_of(0, ValueError("x" * 100_000)).error) <= 4000


@pytest.mark.parametrize("error", [MemoryError, ZeroDivisionError, StopIteration, AssertionError, TimeoutError])
def test_every_exception_is_a_refusal(error: type[Exception]) -> None:
    bench = Bench(20, 10)
    bench.run(raising_at(13, error=error))
    assert list(bench.refused()) == [13]
    assert bench.out() == [n for n in range(20) if n != 13]


def test_a_batch_too_large_for_memory_is_halved() -> None:
    def small_only(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        if len(batch["x"]) > 4:
            raise MemoryError
        return {"y": batch["x"]}

    bench = Bench(100, 32)
    bench.run(small_only)
    assert bench.out() == list(range(100))
    assert not bench.refused()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["call", "async", "prepare"])
def test_leaving_the_process_is_no_refusal(error: type[BaseException], where: str) -> None:
    class Function:
        def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
            return raising_at(13, error=error)(batch) if where == "call" else {"y": batch["x"]}

        def prepare(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            if where == "prepare":
                raising_at(13, error=error)(batch)
            return batch

    async def coroutine(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return raising_at(13, error=error)(batch)

    bench = Bench(30, 10)
    with pytest.raises((FunctionError, KeyboardInterrupt), match=r"ends a process|bad"):
        bench.run(coroutine if where == "async" else Function)
    assert not bench.refused()
    assert bench.out() == list(range(10))


@pytest.mark.parametrize("bad", [(), (13,), (0, 99)])
def test_errors_in_prepare_are_refusals(bad: tuple[int, ...]) -> None:
    class Prepared:
        def prepare(self, batch: dict[str, np.ndarray]) -> np.ndarray:
            assert threading.current_thread() is not threading.main_thread() or bad
            raising_at(*bad)(batch)
            return batch["x"] + 1

        def __call__(self, numbers: np.ndarray) -> dict[str, Any]:
            return {"next": numbers}

    bench = Bench(100, 10)
    assert bench.run(Prepared)
    assert set(bench.refused()) == set(bad)
    assert bench.out() == [n for n in range(100) if n not in bad]


def test_async_batches_run_together_and_keep_their_order() -> None:
    flying, most = 0, 0

    @batch_function(concurrency=4)
    async def slow(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        try:
            # The later batches of a group are done first.
            await asyncio.sleep(0.02 - 0.005 * ((batch["x"][0] // 10) % 4))
            return raising_at(42)(batch)
        finally:
            flying -= 1

    bench = Bench(100, 10)
    assert bench.run(slow)
    assert bench.out() == [n for n in range(100) if n != 42]
    assert list(bench.refused()) == [42]
    assert 1 < most <= 4


def test_async_class() -> None:
    class Slow:
        async def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"y": batch["x"]}

    assert UserFunction(Slow).concurrency == 8
    bench = Bench(50, 10)
    bench.run(Slow)
    assert bench.out() == list(range(50))


def test_zero_to_many() -> None:
    def repeat(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        if 15 in batch["x"]:
            raise ValueError
        times = batch["x"] % 3
        return {"origin": np.repeat(np.arange(len(times)), times), "copy": np.repeat(batch["x"], times)}

    bench = Bench(20, 10)
    bench.run(repeat)
    expected = [n for n in range(20) for _ in range(n % 3) if n != 15]
    assert bench.out() == expected
    assert bench.table().column("copy").to_pylist() == expected
    assert list(bench.refused()) == [15]


def test_no_output_at_all_is_a_finished_shard() -> None:
    bench = Bench(20, 10)
    assert bench.run(lambda batch: {"origin": np.empty(0, np.int64), "y": np.empty(0)})
    assert bench.out() == []
    assert not bench.refused()


BROKEN = {
    "length": (lambda b: {"y": b["x"][:-1]}, r"given 10 rows and returned 9"),
    "columns": (lambda b: {"y": b["x"], "z": b["x"][:-1]}, r"different lengths: .*'y': 10.*'z': 9"),
    "none": (lambda b: None, r"returned NoneType; it must return a dict"),
    "array": (lambda b: b["x"], r"returned ndarray"),
    "scalar": (lambda b: {"y": 5}, r"returned int as column 'y'"),
    "text": (lambda b: {"y": "ten letters"[:10]}, r"returned str as column 'y'"),
    "generator": (lambda b: {"y": (n for n in b["x"])}, r"returned generator as column 'y'"),
    "mixed": (lambda b: {"y": [1, "a"] * 5}, r"column 'y' that cannot be stored"),
    "objects": (lambda b: {"y": [object()] * 10}, r"column 'y' that cannot be stored"),
    "cube": (lambda b: {"y": np.zeros((10, 2, 2))}, r"column 'y' that cannot be stored"),
    "huge": (lambda b: {"y": [2**80] * 10}, r"column 'y' that cannot be stored"),
    "origin high": (lambda b: {"y": b["x"], "origin": np.arange(1, 11)}, r"from 0 to 9"),
    "origin down": (lambda b: {"y": b["x"], "origin": np.arange(10)[::-1]}, r"ascending"),
    "origin float": (lambda b: {"y": b["x"], "origin": np.arange(10) / 2}, r"whole numbers"),
    "carried": (lambda b: {"row": b["x"]}, r"\['row'\], which the job carries"),
    "two of a name": (lambda b: pa.RecordBatch.from_arrays([pa.array(b["x"])] * 2, ["y", "y"]), r"two columns of one"),
    "nothing": (lambda b: {}, r"given 10 rows and returned 0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_contract_stops_the_job_at_once(name: str) -> None:
    function, message = BROKEN[name]
    calls: list[int] = []

    def counted(batch: dict[str, np.ndarray]) -> Any:
        calls.append(len(batch["x"]))
        return function(batch) if 20 in batch["x"] else {"y": batch["x"]}

    bench = Bench(100, 10)
    with pytest.raises(FunctionError, match=message):
        bench.run(counted)
    assert calls == [10, 10, 10], "a broken contract must not be taken for bad rows"
    assert not bench.refused()
    assert bench.out() == list(range(20)), "what was computed before is kept"


def test_columns_must_stay_the_same() -> None:
    bench = Bench(20, 10)
    with pytest.raises(FunctionError, match=r"columns \['file', 'row', 'z'\].*'y'"):
        bench.run(lambda b: {"y": b["x"]} if 0 in b["x"] else {"z": b["x"]})


def test_nan_and_none_are_values() -> None:
    bench = Bench(10, 10)
    bench.run(lambda b: {"nan": np.full(10, np.nan), "none": [None] * 10, "some": [None, "a"] * 5})
    assert np.isnan(bench.table().column("nan").to_numpy()).all()
    assert bench.table().column("none").type == pa.string()
    assert bench.table().column("some").to_pylist() == [None, "a"] * 5


def test_text_that_cannot_be_encoded_is_one_bad_row() -> None:
    bench = Bench(20, 10)
    bench.run(lambda b: {"y": ["\ud800" if n == 13 else "good" for n in b["x"]]})
    assert list(bench.refused()) == [13]
    assert bench.refused()[13].error_type == "UnicodeEncodeError"


def test_rows_that_cannot_be_read_count_and_stand_in_failed() -> None:
    bench = Bench(30, 10)
    bench.run(raising_at(5), source=blocks(30, 10, unreadable=[3, 7, *range(10, 20)]))
    assert set(bench.refused()) == {3, 5, 7, *range(10, 20)}
    assert bench.out() == [n for n in range(30) if n not in bench.refused()]


class TestBudget:
    def test_rows(self) -> None:
        budget = RefusalBudget(Errors(rows=3, fraction=0))
        for row in range(3):
            budget.refuse(refusal_of(row, ValueError("no")))
        with pytest.raises(TooManyRefused, match=r"4 of 0 rows .*rows: 3.*ValueError: no"):
            budget.refuse(refusal_of(4, ValueError("no")))

    def test_fraction_above_rows(self) -> None:
        budget = RefusalBudget(Errors(rows=3, fraction=0.1))
        budget.saw(100)
        for row in range(10):
            budget.refuse(refusal_of(row, ValueError("no")))
        with pytest.raises(TooManyRefused):
            budget.refuse(refusal_of(11, ValueError("no")))

    def test_none_allowed(self) -> None:
        bench = Bench(100, 10, Errors(rows=0, fraction=0))
        with pytest.raises(TooManyRefused):
            bench.run(raising_at(42))
        assert bench.out() == list(range(40))
        assert not bench.refused()

    def test_a_function_that_always_raises_stops_soon(self) -> None:
        calls: list[int] = []

        def broken(batch: dict[str, np.ndarray]) -> Any:
            calls.append(1)
            raise RuntimeError("nothing works")

        bench = Bench(100_000, 1000)
        with pytest.raises(TooManyRefused, match="nothing works"):
            bench.run(broken)
        assert len(calls) < 400


def test_a_damaged_input_keeps_what_came_before() -> None:
    def damaged() -> Any:
        yield from blocks(30, 10)
        raise InputError("torn at row 30")

    async def later(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"y": batch["x"]}

    for function in (raising_at(), later):
        bench = Bench(100, 10)
        with pytest.raises(InputError, match="torn"):
            bench.run(function, source=damaged())
        assert bench.out() == list(range(30))


def test_an_input_that_shrank_or_grew_is_never_marked_as_whole() -> None:
    for there in (70, 130):
        bench = Bench(100, 10)
        with pytest.raises(InputError, match="changed while it was read"):
            bench.run(raising_at(), source=blocks(there, 10))
        assert bench.out() == list(range(min(there, 100)))


def test_blocks_without_a_readable_row() -> None:
    bench = Bench(10, 10)
    bench.run(raising_at(), source=iter([block(0, 10, unreadable=range(10))]))
    assert len(bench.refused()) == 10
