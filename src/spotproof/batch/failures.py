"""Refused rows as a file: what was refused, why, and what it carried. The part that names the file makes it count."""

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from spotproof.batch.rows import Refusal
from spotproof.core.errors import RootDamaged
from spotproof.storage.store import Store

SCHEMA = pa.schema(
    [
        pa.field("shard", pa.int64(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        # Always strings, never null-typed: a dataset of files with and without errors must have one schema.
        pa.field("error_type", pa.string(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
    ]
)


def encode_refusals(shard: int, refused: Sequence[Refusal]) -> bytes:
    """A Parquet file with one row for each refused row of a shard."""
    columns = {
        "shard": [shard] * len(refused),
        "row": [refusal.row for refusal in refused],
        "error_type": [refusal.error_type for refusal in refused],
        "error": [refusal.error for refusal in refused],
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns, schema=SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def read_refusals(store: Store, path: str) -> list[Refusal]:
    """The refused rows of one file, by row. Raises `NotFound`, `RootDamaged`."""
    try:
        rows = pq.read_table(pa.BufferReader(store.read(path))).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise RootDamaged(f"{store.uri}/{path}: the refused rows cannot be read: {error}") from error
    return sorted((Refusal(row["row"], row["error_type"], row["error"]) for row in rows), key=lambda r: r.row)
