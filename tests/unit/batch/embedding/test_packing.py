"""Every row once, within the budget, longest first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotproof.batch.embedding.packing import cost, halves, pack


@given(st.lists(st.integers(0, 600), max_size=200), st.integers(1, 5_000), st.none() | st.integers(1, 50))
def test_every_row_is_in_one_batch_within_the_budget(lengths: list[int], budget: int, max_rows: int | None) -> None:
    sizes = np.asarray(lengths, np.int64)
    batches = pack(sizes, budget, max_rows)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or cost(sizes, batch) <= budget
        assert max_rows is None or len(batch) <= max_rows


@given(st.lists(st.integers(1, 600), min_size=1, max_size=100), st.integers(1, 5_000))
def test_longest_first_and_the_same_each_time(lengths: list[int], budget: int) -> None:
    batches = pack(lengths, budget)
    order = np.concatenate(batches)
    assert (np.diff(np.asarray(lengths)[order]) <= 0).all()
    assert all(np.array_equal(one, other) for one, other in zip(batches, pack(lengths, budget), strict=True))


@given(st.integers(2, 100))
def test_halves_are_the_whole(rows: int) -> None:
    first, second = halves(np.arange(rows))
    assert len(first) and len(second)
    assert np.array_equal(np.concatenate([first, second]), np.arange(rows))


def test_no_rows_no_batches() -> None:
    assert pack([], 100) == []


@pytest.mark.parametrize(("budget", "max_rows"), [(0, None), (10, 0)])
def test_a_limit_below_one_is_an_error(budget: int, max_rows: int | None) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        pack([1], budget, max_rows)
