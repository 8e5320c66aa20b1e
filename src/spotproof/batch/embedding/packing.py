"""Which rows go through the model together: packed by length, so that little of a batch is padding."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def pack(lengths: Sequence[int] | npt.NDArray[np.int64], budget: int, max_rows: int | None = None) -> list[Rows]:
    """Row numbers in batches, the longest rows first, each row in exactly one batch.

    `lengths` and `budget` are in tokens. A batch costs its rows times its longest row (what the model computes with
    the padding) and stays within `budget`, or is a single row. Raises `ValueError` for a budget or row limit below 1.
    """
    if budget < 1 or (max_rows is not None and max_rows < 1):
        raise ValueError(f"a batch needs a budget and a row limit of 1 or more, not {budget} and {max_rows}")
    sizes = np.maximum(np.asarray(lengths, dtype=np.int64), 1)
    # Longest first: memory runs out on the first batch if it runs out at all. Stable, so that a resume packs alike.
    order = np.argsort(-sizes, kind="stable").astype(np.int64)
    batches: list[Rows] = []
    start = 0
    while start < len(order):
        rows = max(1, budget // int(sizes[order[start]]))
        stop = start + (rows if max_rows is None else min(rows, max_rows))
        batches.append(order[start:stop])
        start = stop
    return batches


def cost(lengths: npt.NDArray[np.int64], rows: Rows) -> int:
    """Padded tokens of one batch."""
    return len(rows) * max(1, int(lengths[rows].max())) if len(rows) else 0


def halves(rows: Rows) -> tuple[Rows, Rows]:
    """The batch as two, for when it did not fit. `rows` has two rows or more."""
    middle = (len(rows) + 1) // 2
    return rows[:middle], rows[middle:]
