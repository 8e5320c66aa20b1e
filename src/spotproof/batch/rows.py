"""Rows on their way through a job: as read, and as computed. Row numbers count inside the shard, from 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Refusal:
    """One input row that could not be read or that the function refused, and why."""

    row: int
    error_type: str
    error: str


@dataclass(frozen=True)
class RowBlock:
    """The consecutive input rows [start, stop) of a shard.

    `rows` holds the readable ones and `index` (int64, ascending) their row numbers; `refused` holds the others.
    """

    start: int
    stop: int
    rows: pa.RecordBatch
    index: np.ndarray
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class Results:
    """What came of the input rows [start, stop): output rows, each with the input row it came from.

    `origin` (int64, never descending) has one entry for each row of `table`. A row of [start, stop) with no
    entry in `origin` or `refused` was computed and gave no output. `final` says that the shard ends at `stop`.
    """

    start: int
    stop: int
    table: pa.Table
    origin: np.ndarray
    refused: tuple[Refusal, ...] = ()
    final: bool = False
    counts: Mapping[str, int] = field(default_factory=dict[str, int])

    def from_row(self, row: int) -> "Results":
        """The same without the input rows below `row` (which another part already holds)."""
        if row <= self.start:
            return self
        keep = int(np.searchsorted(self.origin, row, side="left"))
        stop = max(self.stop, row)
        return Results(
            start=row,
            stop=stop,
            table=self.table.slice(keep),
            origin=self.origin[keep:],
            refused=tuple(r for r in self.refused if r.row >= row),
            final=self.final,
            # Counts cannot be split by row; those of a cut run are left to the winner's part.
            counts={},
        )


def join(runs: Sequence[Results]) -> Results:
    """One `Results` of runs that follow one another without a gap."""
    for before, after in pairwise(runs):
        if before.stop != after.start:
            raise AssertionError(f"rows {before.stop}..{after.start} are missing between two runs")
    counts: dict[str, int] = {}
    for run in runs:
        for name, value in run.counts.items():
            counts[name] = counts.get(name, 0) + value
    return Results(
        start=runs[0].start,
        stop=runs[-1].stop,
        table=_concatenate([run.table for run in runs]),
        origin=np.concatenate([run.origin for run in runs]),
        refused=tuple(refusal for run in runs for refusal in run.refused),
        final=runs[-1].final,
        counts=counts,
    )


def _concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    # A run whose rows were all refused may not know the result columns yet; its empty table must not be in the way.
    filled = [table for table in tables if table.num_rows]
    if filled:
        return pa.concat_tables(filled)
    return max(tables, key=lambda table: table.num_columns)
