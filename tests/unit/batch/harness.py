"""What the tests of the batch layer stand on: a small shard in memory, and one worker's run over it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from spotproof.batch import layout
from spotproof.batch.chain import Committed, Writer, read_tip
from spotproof.batch.computation import Computation, UserFunction
from spotproof.batch.failures import read_refusals
from spotproof.batch.finish import read_chains
from spotproof.batch.inputs.slices import InputFile, Shard, Slice
from spotproof.batch.job import Commit, Errors
from spotproof.batch.output import OutputColumns
from spotproof.batch.parts import read_part
from spotproof.batch.record import Plan
from spotproof.batch.refusals import RefusalBudget
from spotproof.batch.rows import Refusal, RowBlock
from spotproof.batch.shard_run import ShardRun
from spotproof.batch.shard_writer import ShardWriter
from spotproof.batch.suspects import Suspect
from spotproof.core.clock import Clock, ManualClock
from spotproof.storage.memory import MemoryStore
from spotproof.storage.store import Store

JOB_ID = "01JOB"
SCHEMA = pa.schema([("x", pa.int64()), ("text", pa.string())])


def record_batch(start: int, stop: int) -> pa.RecordBatch:
    numbers = list(range(start, stop))
    return pa.RecordBatch.from_arrays(
        [
            pa.array(numbers, pa.int64()),
            pa.array([f"text {n}" for n in numbers], pa.string()),
            pa.array(["in.parquet"] * len(numbers), pa.string()),
            pa.array(numbers, pa.int64()),
        ],
        names=["x", "text", "file", "row"],
    )


def block(start: int, stop: int, unreadable: Sequence[int] = ()) -> RowBlock:
    """Rows [start, stop) with x equal to the row number; `unreadable` ones are refused by the reader."""
    index = np.array([n for n in range(start, stop) if n not in unreadable], np.int64)
    rows = record_batch(start, stop).take(pa.array(index - start))
    refused = tuple(Refusal(n, "ValueError", "cannot be read") for n in unreadable if start <= n < stop)
    return RowBlock(start, stop, rows, index, refused)


def blocks(rows: int, batch: int, start: int = 0, unreadable: Sequence[int] = ()) -> Iterator[RowBlock]:
    for at in range(start, rows, batch):
        yield block(at, min(at + batch, rows), unreadable)


def plan_of(rows: Sequence[int | None]) -> Plan:
    files = tuple(InputFile(f"/in/{n}.parquet", 100, f"e{n}", count) for n, count in enumerate(rows))
    shards = tuple(Shard(n, (Slice(n, "rows", 0, count or 1),), count) for n, count in enumerate(rows))
    return Plan(files, shards, SCHEMA)


class Watching:
    """A `Watch` that remembers, and tells the run to leave when `leave` says so."""

    def __init__(self, leave: Callable[[int], bool] = lambda _: False) -> None:
        self.hands: list[tuple[tuple[int, int], ...]] = []
        self.rows = 0
        self.refusals: list[tuple[int, int]] = []
        self._leave = leave

    def leaving(self) -> bool:
        return self._leave(self.rows)

    def refused(self, shard: int, refusals: Sequence[Refusal]) -> None:
        self.refusals.extend((shard, refusal.row) for refusal in refusals)

    def in_hand(self, shard: int, ranges: Sequence[tuple[int, int]]) -> None:
        self.hands.append(tuple(ranges))

    def computed(self, rows: int) -> None:
        self.rows += rows


class Bench:
    """Runs shard 0 of a job once or more, and reads back what stands in the store."""

    def __init__(self, rows: int | None = 100, batch: int = 10, errors: Errors | None = None) -> None:
        self.store: Store = MemoryStore()
        self.clock: Clock = ManualClock()
        self.rows = rows
        self.batch = batch
        self.errors = errors or Errors()
        self.limits = Commit()
        self.commits: list[Committed] = []
        self.watch = Watching()
        # Errors that stand for the death of the process: what waits for its commit is lost.
        self.deadly: tuple[type[BaseException], ...] = ()
        self.carried: Sequence[str] = ("file", "row")

    def run(
        self,
        function: Callable[..., Any] | Computation,
        source: Iterator[RowBlock] | None = None,
        suspects: Sequence[Suspect] = (),
    ) -> bool:
        computation: Any = function if hasattr(function, "start") else UserFunction(function)  # type: ignore[arg-type]
        tip = read_tip(self.store, 0)
        with ThreadPoolExecutor(1) as executor:
            writer = ShardWriter(
                self.store,
                0,
                tip,
                Writer(JOB_ID, "w0", 1, 1),
                self.limits,
                self.clock,
                executor,
                self.commits.append,
            )
            run = ShardRun(
                0,
                self.rows,
                source if source is not None else blocks(self.rows or 0, self.batch, tip.position),
                computation,
                OutputColumns(self.store, self.clock, ["x", "text"], self.carried),
                writer,
                self.watch,
                RefusalBudget(self.errors),
                suspects,
                self.errors.max_crashes,
            )
            try:
                ended = run.run()
                writer.drain()
                return ended
            except self.deadly:
                raise
            except BaseException:
                writer.drain()
                raise

    def table(self) -> pa.Table:
        """All output rows, in the order of the chain."""
        chain = read_chains(self.store).get(0, [])
        tables = [read_part(self.store, layout.part(0, info.start))[1] for info in chain]
        return pa.concat_tables([t for t in tables if t.num_rows]) if any(t.num_rows for t in tables) else pa.table({})

    def out(self) -> list[int]:
        """The input rows of the output rows."""
        table = self.table()
        return table.column("row").to_pylist() if table.num_columns else []

    def refused(self) -> dict[int, Refusal]:
        chain = read_chains(self.store).get(0, [])
        found = [r for info in chain if info.failed_file for r in read_refusals(self.store, info.failed_file)]
        assert len({r.row for r in found}) == len(found), "a row was refused twice"
        return {r.row: r for r in found}
