"""What a shard is made of: slices of input files."""

from typing import Literal, NamedTuple

Format = Literal["parquet", "jsonl", "csv", "text"]


class InputFile(NamedTuple):
    """One input file as the plan saw it. `rows` is None where only reading the file can tell (line formats)."""

    uri: str
    size: int
    etag: str
    rows: int | None


class Slice(NamedTuple):
    """A contiguous piece of one input file.

    `unit` "rows": Parquet rows [start, stop) of the file. `unit` "bytes": the lines that begin in bytes
    [start, stop) of a plain line file; a compressed or unsplit file is one slice [0, size).
    """

    file: int
    unit: Literal["rows", "bytes"]
    start: int
    stop: int


class Shard(NamedTuple):
    """A contiguous range of input rows: slices read one after another. `rows` is None for line formats."""

    number: int
    slices: tuple[Slice, ...]
    rows: int | None
