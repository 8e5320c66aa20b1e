"""The rows of a shard, from any of its rows on, in blocks: whatever the format, whatever is wrong with single rows."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from spotproof.batch.inputs import csv_lines, jsonl
from spotproof.batch.inputs.discover import check_unchanged
from spotproof.batch.inputs.lines import Line, TooLong, read_lines
from spotproof.batch.inputs.parquet import read_rows
from spotproof.batch.inputs.parsed import Parsed, build
from spotproof.batch.inputs.slices import InputFile, Shard, Slice
from spotproof.batch.job import Input
from spotproof.batch.rows import Refusal, RowBlock
from spotproof.core.errors import InputError

FILE, ROW = "file", "row"  # the identity columns
TEXT = "text"  # the one column of the text format


_Parse = Callable[[Sequence[bytes]], Parsed]


class _Piece(NamedTuple):
    """Consecutive rows of one slice; `first` and the others count inside the slice."""

    first: int
    rows: int
    parsed: Parsed


def read_shard(
    input: Input,
    files: Sequence[InputFile],
    shard: Shard,
    schema: pa.Schema,
    start_row: int,
    batch_rows: int,
    identity: bool,
) -> Iterator[RowBlock]:
    """Blocks of at most `batch_rows` rows, from row `start_row` of the shard to its end, without a gap.

    With `identity`, each row also has `file` and `row` (from 0): a file's name, or `name#BYTE` in a later piece of a
    split file, whose lines can only be numbered from the byte where it begins. A row that cannot be read is a refusal
    in its block. Raises `InputError` where a file is gone, changed or damaged, after the rows before the damage.
    """
    at = 0  # the shard's row at which the slice begins; line formats tell only by being read
    for piece in shard.slices:
        file = files[piece.file]
        if piece.unit == "rows" and at + piece.stop - piece.start <= start_row:
            at += piece.stop - piece.start
            continue
        check_unchanged(file)
        name = _name(files, piece) if identity else None
        skip = max(0, start_row - at)
        rows = 0
        pieces = (
            _parquet_pieces(file, piece, schema, skip, batch_rows)
            if piece.unit == "rows"
            else _line_pieces(input, file, piece, schema, skip, batch_rows)
        )
        for found in pieces:
            rows = found.first + found.rows
            if found.rows:
                yield _block(at, found, name)
        at += rows


def _parquet_pieces(file: InputFile, piece: Slice, schema: pa.Schema, skip: int, batch_rows: int) -> Iterator[_Piece]:
    at = skip
    for batch in _of_size(read_rows(file, piece.start + skip, piece.stop, schema), batch_rows):
        yield _Piece(at, batch.num_rows, Parsed(batch, list(range(batch.num_rows)), []))
        at += batch.num_rows
    if at < piece.stop - piece.start:
        raise InputError(f"{file.uri}: ends after {piece.start + at} rows, its footer promised {piece.stop}")


def _of_size(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of exactly `rows` (the last may be shorter)."""
    held: list[pa.RecordBatch] = []
    held_rows = 0
    for batch in batches:
        while held_rows + batch.num_rows >= rows:
            need = rows - held_rows
            yield _together([*held, batch.slice(0, need)])
            batch = batch.slice(need)
            held, held_rows = [], 0
        if batch.num_rows:
            held.append(batch)
            held_rows += batch.num_rows
    if held:
        yield _together(held)


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches([batch for batch in batches if batch.num_rows])


def _line_pieces(
    input: Input, file: InputFile, piece: Slice, schema: pa.Schema, skip: int, batch_rows: int
) -> Iterator[_Piece]:
    lines, parse = _lines_and_parser(input, file, piece, schema)
    skipped = sum(1 for _ in islice(lines, skip))
    if skipped < skip:
        yield _Piece(skipped, 0, Parsed(build(schema, [[] for _ in schema], []), [], []))
        return
    at = skip
    yield _Piece(at, 0, Parsed(build(schema, [[] for _ in schema], []), [], []))
    damage: InputError | None = None
    while damage is None:
        batch: list[Line] = []
        try:
            batch.extend(islice(lines, batch_rows))
        except InputError as error:
            damage = error
        if not batch:
            break
        yield _Piece(at, len(batch), _parse(batch, parse, input))
        at += len(batch)
    if damage is not None:
        raise damage


def _lines_and_parser(input: Input, file: InputFile, piece: Slice, schema: pa.Schema) -> tuple[Iterator[Line], _Parse]:
    kind = input.format_of(file.uri)
    lines = read_lines(file, piece.start, piece.stop, input.max_row_bytes)
    if kind == "text":
        return lines, lambda some: _parse_text(some, schema)
    if kind == "jsonl":
        return (line for line in lines if _is_filled(line)), lambda some: jsonl.parse_json(some, schema)
    header, delimiter = read_csv_header(input, file)
    if piece.start == 0:
        lines = islice(lines, _header_lines(input, file), None)
    if input.quoted_newlines:
        lines = csv_lines.join_quoted(lines, input.max_row_bytes)
    joined = input.quoted_newlines
    return (
        (line for line in lines if _is_filled(line)),
        lambda some: csv_lines.parse_csv(some, schema, header, delimiter, file.uri, joined),
    )


def read_csv_header(input: Input, file: InputFile) -> tuple[list[str], str]:
    """(column names, delimiter) of a CSV file; no names where it is empty. Raises `InputError`."""
    delimiter = "\t" if ".tsv" in file.uri.lower() and input.delimiter == "," else input.delimiter
    for line in read_lines(file, 0, file.size, input.max_row_bytes):
        if isinstance(line, TooLong):
            raise InputError(f"{file.uri}: its first line is longer than input.max_row_bytes")
        if line.strip():
            return csv_lines.parse_header(line, delimiter, file.uri), delimiter
    return [], delimiter


def _header_lines(input: Input, file: InputFile) -> int:
    """Lines up to and including the header."""
    for number, line in enumerate(read_lines(file, 0, file.size, input.max_row_bytes)):
        if _is_filled(line):
            return number + 1
    return 0


def _parse(batch: list[Line], parse: _Parse, input: Input) -> Parsed:
    long = [position for position, line in enumerate(batch) if isinstance(line, TooLong)]
    if not long:
        return parse([line for line in batch if isinstance(line, bytes)])
    places = [position for position, line in enumerate(batch) if not isinstance(line, TooLong)]
    parsed = parse([line for line in batch if isinstance(line, bytes)])
    told = f"longer than input.max_row_bytes ({input.max_row_bytes:,})"
    bad = [(places[position], kind, text) for position, kind, text in parsed.bad]
    bad += [(position, "RowTooLong", told) for position in long]
    return Parsed(parsed.rows, [places[position] for position in parsed.kept], sorted(bad))


def _parse_text(lines: Sequence[bytes], schema: pa.Schema) -> Parsed:
    texts: list[object] = []
    kept: list[int] = []
    bad: list[tuple[int, str, str]] = []
    for position, line in enumerate(lines):
        try:
            texts.append(line.decode())
            kept.append(position)
        except UnicodeDecodeError as error:
            bad.append((position, "UnicodeDecodeError", str(error)))
    return Parsed(build(schema, [texts for _ in schema], kept), kept, bad)


def _is_filled(line: Line) -> bool:
    return isinstance(line, TooLong) or bool(line.strip())


def _block(at: int, piece: _Piece, name: str | None) -> RowBlock:
    start = at + piece.first
    kept = np.asarray(piece.parsed.kept, dtype=np.int64)
    rows = piece.parsed.rows
    if name is not None:
        rows = rows.append_column(FILE, pa.repeat(pa.scalar(name), rows.num_rows))
        rows = rows.append_column(ROW, pa.array(kept + piece.first))
    refused = tuple(Refusal(start + position, kind, text) for position, kind, text in piece.parsed.bad)
    return RowBlock(start, start + piece.rows, rows, kept + start, refused)


def _name(files: Sequence[InputFile], piece: Slice) -> str:
    """A file's name; with `#BYTE` in a later piece of it."""
    file = files[piece.file]
    return file.uri if piece.unit == "rows" or piece.start == 0 else f"{file.uri}#{piece.start}"
