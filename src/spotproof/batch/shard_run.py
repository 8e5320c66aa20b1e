"""One shard, from its position to its end: read ahead, compute, hand the results to the writer."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from spotproof.batch.computation import Computation, Computed
from spotproof.batch.output import OutputColumns
from spotproof.batch.read_ahead import ReadAhead
from spotproof.batch.refusals import RefusalBudget, take_apart
from spotproof.batch.rows import Refusal, Results, RowBlock
from spotproof.batch.shard_writer import ShardWriter
from spotproof.batch.suspects import Step, Suspect, steps
from spotproof.core.errors import InputError

_BLOCKS_AHEAD = 2


class Watch(Protocol):
    """What a shard's run asks and tells while it works."""

    def leaving(self) -> bool:
        """Whether to stop at the next batch: a notice came, or the lease was lost."""
        ...

    def in_hand(self, shard: int, ranges: Sequence[tuple[int, int]]) -> None:
        """These rows are being prepared or computed: if the process dies now, one of them may be why."""
        ...

    def computed(self, rows: int) -> None:
        """So many more input rows have gone through."""
        ...

    def refused(self, shard: int, refusals: Sequence[Refusal]) -> None:
        """These rows could not be computed."""
        ...


@dataclass(frozen=True)
class _Piece:
    """Rows handed to the function in one call."""

    block: RowBlock
    prepared: Any = None
    refuse: bool = False


class ShardRun:
    """Computes what remains of one shard. `run` returns True when the shard's end was reached."""

    def __init__(
        self,
        shard: int,
        rows: int | None,
        blocks: Iterator[RowBlock],
        computation: Computation,
        output: OutputColumns,
        writer: ShardWriter,
        watch: Watch,
        budget: RefusalBudget,
        suspects: Sequence[Suspect],
        max_crashes: int,
    ) -> None:
        self._shard = shard
        self._rows = rows
        self._computation = computation
        self._output = output
        self._writer = writer
        self._watch = watch
        self._budget = budget
        self._max_crashes = max_crashes
        self._suspects = [s for s in suspects if s.shard == shard and s.stop > writer.tip.position]
        self._blocks = self._planned(blocks)
        self._hand: deque[tuple[int, int]] = deque()
        self._hand_lock = threading.Lock()

    def run(self) -> bool:
        """Go through the shard; results computed are in the writer when this returns or raises."""
        # With a suspect about, one batch at a time and nothing ahead: a death must point at one range.
        careful = bool(self._suspects)
        pieces = self._careful_pieces() if careful else self._pieces()
        source: Iterator[_Piece] | ReadAhead[_Piece] = pieces if careful else ReadAhead(pieces, _BLOCKS_AHEAD)
        try:
            return self._go(source, in_flight=1 if careful else self._computation.concurrency)
        finally:
            if isinstance(source, ReadAhead):
                source.close()
            self._hand.clear()
            self._watch.in_hand(self._shard, ())

    def _go(self, source: "Iterator[_Piece] | ReadAhead[_Piece]", in_flight: int) -> bool:
        started: deque[tuple[_Piece, Future[Computed] | None]] = deque()
        at = self._writer.tip.position
        pieces = iter(source)
        ended, damage = False, None
        while not ended and not self._watch.leaving() and not self._writer.tip.final:
            try:
                piece = next(pieces, None)
            except InputError as error:
                damage = error
                break
            if piece is None:
                ended = True
            else:
                started.append((piece, self._start(piece)))
            while len(started) >= in_flight:
                at = self._finish(*started.popleft())
        # What an async function has in flight is finished too: it is the batch in hand.
        for entry in started:
            at = self._finish(*entry)
        if damage is not None:
            raise damage
        if ended and self._rows is None:
            self._writer.append(self._end(at))
        elif ended and self._rows is not None and at < self._rows:
            # An end marked here would stand for ever, and the rows behind it would be missing.
            raise InputError(
                f"shard {self._shard}: the input ended at row {at}, but {self._rows} rows were planned; "
                "it changed while it was read"
            )
        return ended or self._writer.tip.final

    def _planned(self, blocks: Iterator[RowBlock]) -> Iterator[RowBlock]:
        for block in blocks:
            if self._rows is not None and block.stop > self._rows:
                raise InputError(
                    f"shard {self._shard}: the input has more than the {self._rows} rows that were planned; "
                    "it changed while it was read"
                )
            yield block

    def _pieces(self) -> Iterator[_Piece]:
        for block in self._blocks:
            self._take_in_hand(block)
            yield _Piece(block, self._prepare(block))

    def _careful_pieces(self) -> Iterator[_Piece]:
        for block in self._blocks:
            for step in steps(block.start, block.stop, self._suspects, self._max_crashes):
                piece = cut(block, step)
                if step.commit_first:
                    # Before these rows are touched: whatever they do, what came before them is kept.
                    self._writer.drain()
                self._take_in_hand(piece)
                prepared = None if step.refuse else self._prepare(piece)
                yield _Piece(piece, prepared, step.refuse)

    def _prepare(self, block: RowBlock) -> Any:
        if block.rows.num_rows == 0:
            return None
        try:
            return self._computation.prepare(self._output.given(block.rows))
        except Exception as error:  # raised again where the batch is computed, and taken apart there
            return _PrepareFailed(error)

    def _start(self, piece: _Piece) -> "Future[Computed] | None":
        if piece.refuse or piece.block.rows.num_rows == 0:
            return None
        if piece.block.stop <= self._writer.tip.position:
            return None  # another worker's part holds these rows already
        if isinstance(piece.prepared, _PrepareFailed):
            failed: Future[Computed] = Future()
            failed.set_exception(piece.prepared.error)
            return failed
        return self._computation.start(piece.prepared, piece.block.rows.num_rows)

    def _finish(self, piece: _Piece, future: "Future[Computed] | None") -> int:
        block = piece.block
        if future is None and not piece.refuse and block.rows.num_rows:
            results = Results(block.start, block.stop, self._output.empty(), np.empty(0, np.int64))
        else:
            results = self._results(piece, future)
        self._budget.saw(block.stop - block.start)
        self._writer.append(self._marked_final(results))
        self._release()
        self._watch.computed(block.stop - block.start)
        return block.stop

    def _results(self, piece: _Piece, future: "Future[Computed] | None") -> Results:
        block = piece.block
        refused = list(block.refused)
        for refusal in refused:
            self._budget.refuse(refusal)
        pieces: list[tuple[int, Computed]] = []
        if piece.refuse:
            refused += [self._killer(int(row)) for row in block.index]
        elif future is not None:
            try:
                pieces = [(0, future.result())]
            except Exception as error:
                rows = self._output.given(block.rows)
                pieces, bad = take_apart(self._computation, rows, block.index, error, self._budget)
                refused += bad
        table, origin, counts = self._output.assemble(block, pieces)
        ordered = tuple(sorted(refused, key=lambda refusal: refusal.row))
        self._watch.refused(self._shard, ordered)
        return Results(block.start, block.stop, table, origin, ordered, counts=counts)

    def _killer(self, row: int) -> Refusal:
        refusal = Refusal(row, "ProcessKilled", "the process died each time this row was computed, alone at last")
        self._budget.refuse(refusal)
        return refusal

    def _marked_final(self, results: Results) -> Results:
        if self._rows is None or results.stop < self._rows:
            return results
        return Results(
            results.start, results.stop, results.table, results.origin, results.refused, True, results.counts
        )

    def _end(self, at: int) -> Results:
        return Results(at, at, self._output.empty(), np.empty(0, np.int64), final=True)

    def _take_in_hand(self, block: RowBlock) -> None:
        with self._hand_lock:  # blocks are taken by the reading thread and released by the computing one
            self._hand.append((block.start, block.stop))
            self._watch.in_hand(self._shard, tuple(self._hand))

    def _release(self) -> None:
        with self._hand_lock:
            self._hand.popleft()
            self._watch.in_hand(self._shard, tuple(self._hand))


@dataclass(frozen=True)
class _PrepareFailed:
    error: Exception


def cut(block: RowBlock, step: Step) -> RowBlock:
    """The rows of `block` that `step` speaks of."""
    low = int(np.searchsorted(block.index, step.start))
    high = int(np.searchsorted(block.index, step.stop))
    rows: pa.RecordBatch = block.rows.slice(low, high - low)
    refused = tuple(r for r in block.refused if step.start <= r.row < step.stop)
    return RowBlock(step.start, step.stop, rows, block.index[low:high], refused)
