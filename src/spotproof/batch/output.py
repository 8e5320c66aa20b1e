"""From what the function returned to the rows of a part: carried columns first, then results."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from spotproof.batch.computation import Computed
from spotproof.batch.output_schema import agree_schema, conform, read_schema
from spotproof.batch.rows import RowBlock
from spotproof.core.clock import Clock
from spotproof.core.errors import FunctionError, NotFound
from spotproof.storage.store import Store


class OutputColumns:
    """Knows which input columns the function is given, which are carried, and what every part's columns are."""

    def __init__(self, store: Store, clock: Clock, given: Sequence[str], carried: Sequence[str]) -> None:
        self._store = store
        self._clock = clock
        self._given = list(given)
        self._carried = list(carried)
        self._schema: pa.Schema | None = _read_if_agreed(store)

    def given(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The columns that the function sees."""
        return rows.select(self._given)

    def empty(self) -> pa.Table:
        """A table of no rows, with the agreed columns as far as they are known."""
        if self._schema is None:
            self._schema = _read_if_agreed(self._store)  # another worker may have had results by now
        return self._schema.empty_table() if self._schema is not None else pa.table({})

    def assemble(
        self, block: RowBlock, pieces: Sequence[tuple[int, Computed]]
    ) -> tuple[pa.Table, np.ndarray, dict[str, int]]:
        """(output rows, the shard row each came from, counters added up) of one block's computed pieces."""
        tables: list[pa.Table] = []
        origins: list[np.ndarray] = []
        counts: dict[str, int] = {}
        for offset, computed in pieces:
            for name, value in computed.counts.items():
                counts[name] = counts.get(name, 0) + value
            if computed.columns.num_rows:
                at = computed.origin + offset
                tables.append(self._table(block.rows, computed.columns, at))
                origins.append(block.index[at])
        if not tables:
            return self.empty(), np.empty(0, np.int64), counts
        return pa.concat_tables(tables), np.concatenate(origins), counts

    def _table(self, rows: pa.RecordBatch, results: pa.RecordBatch, origin: np.ndarray) -> pa.Table:
        both = set(self._carried) & set(results.schema.names)
        if both:
            raise FunctionError(
                f"the function returned {sorted(both)}, which the job carries through already; "
                "return other names, or leave them out of input.carry"
            )
        carried = rows.select(self._carried)
        if len(origin) != rows.num_rows or not np.array_equal(origin, np.arange(rows.num_rows)):
            carried = carried.take(pa.array(origin))
        joined = pa.RecordBatch.from_arrays(
            [*carried.columns, *results.columns], schema=_joined(carried.schema, results.schema)
        )
        if self._schema is None:
            self._schema = agree_schema(self._store, joined.schema, self._clock)
        if joined.schema.equals(self._schema):
            return pa.Table.from_batches([joined])
        return conform(joined, self._schema)


def _read_if_agreed(store: Store) -> pa.Schema | None:
    try:
        return read_schema(store)
    except NotFound:
        return None


def _joined(carried: pa.Schema, results: pa.Schema) -> pa.Schema:
    # That a column of one batch has no null says nothing of the other batches.
    return pa.schema([f.remove_metadata().with_nullable(True) for f in [*carried, *results]])
