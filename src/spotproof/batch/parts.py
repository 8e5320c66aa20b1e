"""A part as bytes: a Parquet file whose footer says which input rows it covers and proves that it is whole."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3

from spotproof.core.errors import RootDamaged
from spotproof.storage.store import Store

_INFO_KEY = b"spotproof"
_INFO_HASH_KEY = b"spotproof.hash"
_MAGIC = b"PAR1"
_TAIL_BYTES = 32 * 1024  # holds the footer of a part of up to some hundred columns; larger ones cost a second read
_COMPRESSION_LEVEL = 1  # vectors hardly shrink; level 1 keeps encoding far below the time of any model


@dataclass(frozen=True)
class PartInfo:
    """What a part's footer says. `total_*` count the shard from its first row up to `stop`, this part included."""

    job_id: str
    nonce: str
    shard: int
    start: int
    stop: int
    final: bool
    rows_out: int
    rows_failed: int
    total_out: int
    total_failed: int
    failed_file: str | None
    worker: str
    attempt: int
    epoch: int
    committed_at: float
    counts: dict[str, int] = field(default_factory=dict[str, int])
    data_bytes: int = 0
    data_hash: str = ""


def encode_part(table: pa.Table, info: PartInfo) -> bytes:
    """The bytes of a part; `data_bytes` and `data_hash` of `info` are filled in."""
    return encode_verifiable(table, asdict(info))


def encode_verifiable(table: pa.Table, said: Mapping[str, Any]) -> bytes:
    """A Parquet file whose footer carries `said` with the size and the blake3 of the data pages."""
    sink = io.BytesIO()
    # The stub says bool only; a list of columns is documented.
    texts: Any = [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    with pq.ParquetWriter(
        sink, table.schema, compression="zstd", compression_level=_COMPRESSION_LEVEL, use_dictionary=texts
    ) as writer:
        if table.num_rows:
            writer.write_table(table, row_group_size=table.num_rows)
        with sink.getbuffer() as pages:
            proof = {"data_bytes": len(pages), "data_hash": blake3(pages).hexdigest()}
        body = json.dumps({**said, **proof}, separators=(",", ":")).encode()
        writer.add_key_value_metadata({_INFO_KEY: body, _INFO_HASH_KEY: blake3(body).hexdigest().encode()})
    return sink.getvalue()


def read_part_info(store: Store, path: str) -> PartInfo:
    """The footer of one part, by one small read. Raises `NotFound`, `RootDamaged`."""
    return PartInfo(**read_footer(store, path))


def read_footer(store: Store, path: str) -> dict[str, Any]:
    """What the footer of a verifiable file says. Raises `NotFound`, `RootDamaged`."""
    tail = store.read_tail(path, _TAIL_BYTES)
    needed = _footer_bytes(tail.data, path) + 8
    if needed > len(tail.data) and needed <= tail.size:
        tail = store.read_tail(path, needed)
    return _parse_footer(tail.data, path)


def read_part(store: Store, path: str) -> tuple[PartInfo, pa.Table]:
    """A whole part, verified: data pages against their hash, rows against the footer. Raises `RootDamaged`."""
    said, table = read_verified(store, path)
    return PartInfo(**said), table


def read_verified(store: Store, path: str) -> tuple[dict[str, Any], pa.Table]:
    """A verifiable file, whole: what its footer says, and its rows. Raises `NotFound`, `RootDamaged`."""
    body = store.read(path)
    said = _parse_footer(body, path)
    if blake3(body[: said["data_bytes"]]).hexdigest() != said["data_hash"]:
        raise RootDamaged(f"{store.uri}/{path}: the data does not match its checksum")
    try:
        table = pq.read_table(pa.BufferReader(body))
    except (pa.ArrowException, OSError) as error:
        raise RootDamaged(f"{store.uri}/{path}: not readable as Parquet: {error}") from error
    if table.num_rows != said["rows_out"]:
        raise RootDamaged(f"{store.uri}/{path}: holds {table.num_rows} rows, its footer says {said['rows_out']}")
    return said, table


def part_nonce(store: Store, path: str) -> str | None:
    """Who wrote the part at `path`: the nonce in its footer. Raises `NotFound`."""
    return read_part_info(store, path).nonce


def _footer_bytes(tail: bytes, path: str) -> int:
    if len(tail) < 12 or tail[-4:] != _MAGIC:
        raise RootDamaged(f"{path}: not a whole Parquet file (no footer)")
    return int.from_bytes(tail[-8:-4], "little")


def _parse_footer(tail: bytes, path: str) -> dict[str, Any]:
    _footer_bytes(tail, path)
    try:
        metadata: dict[bytes, bytes] = pq.read_metadata(pa.BufferReader(tail)).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise RootDamaged(f"{path}: the Parquet footer cannot be read: {error}") from error
    body = metadata.get(_INFO_KEY)
    if body is None:
        raise RootDamaged(f"{path}: not a part of spotproof (its footer names no rows)")
    if blake3(body).hexdigest().encode() != metadata.get(_INFO_HASH_KEY):
        raise RootDamaged(f"{path}: the footer does not match its checksum")
    return json.loads(body)
