"""Parquet: row counts and types from the footer, rows by streaming over row groups."""

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from spotproof.batch.inputs.lines import open_plain
from spotproof.batch.inputs.slices import InputFile
from spotproof.core.errors import InputError

_DECODE_ROWS = 64 * 1024  # decoded at once: large enough for speed, small enough for memory


class Footer(NamedTuple):
    """What the plan needs: the columns, and (rows, compressed bytes) of each row group."""

    schema: pa.Schema
    groups: list[tuple[int, int]]


def read_footer(file: InputFile) -> Footer:
    """Raises `InputError`."""
    with open_plain(file) as stored:
        try:
            opened = pq.ParquetFile(stored)
            metadata = opened.metadata
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            sizes = [sum(g.column(c).total_compressed_size for c in range(g.num_columns)) for g in groups]
            return Footer(opened.schema_arrow, [(g.num_rows, s) for g, s in zip(groups, sizes, strict=True)])
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(file, error) from error


def read_rows(file: InputFile, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows [start, stop) of the file, as they are decoded; row groups before `start` are not touched.

    Raises `InputError` where a page is damaged, after the rows before it.
    """
    with open_plain(file) as stored:
        try:
            opened = pq.ParquetFile(stored)
            for group, first, last in _groups(opened, start, stop):
                yield from _group_rows(opened, group, first, last, schema)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(file, error) from error


def _groups(opened: pq.ParquetFile, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(row group, first, last row wanted in it)."""
    at = 0
    for group in range(opened.metadata.num_row_groups):
        rows = opened.metadata.row_group(group).num_rows
        first, last = max(start - at, 0), min(stop - at, rows)
        if first < last:
            yield group, first, last
        at += rows


def _group_rows(
    opened: pq.ParquetFile, group: int, first: int, last: int, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    at = 0
    batches = opened.iter_batches(_DECODE_ROWS, row_groups=[group], columns=schema.names, use_threads=False)
    for batch in batches:
        low, high = max(first - at, 0), min(last - at, batch.num_rows)
        at += batch.num_rows
        if low < high:
            yield _in_order(batch.slice(low, high - low), schema)
        if at >= last:
            return


def _in_order(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    chosen = batch.select(schema.names)
    return chosen if chosen.schema.equals(schema) else chosen.cast(schema)


def _damaged(file: InputFile, error: Exception) -> InputError:
    return InputError(
        f"{file.uri}: cannot be read as Parquet ({str(error).splitlines()[0]}): replace the file and use a new root"
    )
