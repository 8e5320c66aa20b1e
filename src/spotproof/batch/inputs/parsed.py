"""Some lines, parsed: the rows that could be read, and why the others could not."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Parsed:
    """`rows` are the readable ones of the lines given, `kept` their positions among them; `bad` the others, with
    (position, error type, error)."""

    rows: pa.RecordBatch
    kept: list[int]
    bad: list[tuple[int, str, str]]


def build(schema: pa.Schema, columns: list[list[object]], kept: list[int]) -> pa.RecordBatch:
    """A batch of values that are known to fit."""
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
    if not arrays:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * len(kept), type=pa.struct([])))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
