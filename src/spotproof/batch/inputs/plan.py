"""The plan: the columns to read and their types, and the input cut into shards of about one size."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa

from spotproof.batch.inputs import jsonl
from spotproof.batch.inputs.lines import is_compressed, read_lines
from spotproof.batch.inputs.parquet import Footer, read_footer
from spotproof.batch.inputs.reader import FILE, ROW, TEXT, read_csv_header
from spotproof.batch.inputs.slices import InputFile, Shard, Slice
from spotproof.batch.job import Input
from spotproof.core.errors import InputError

_FOOTERS_AT_ONCE = 16
_SHARD_BYTES_MAX = 64 * 2**20
_SHARD_BYTES_MIN = 256 * 2**10
_SHARDS_WANTED = 64  # so that a handful of workers end together, and a takeover costs little
_SAMPLE_LINES = 1000
_SAMPLE_FILES = 8

_Sized = tuple[Slice, int, int | None]  # a slice, its bytes, its rows where they are known


def plan_shards(
    input: Input, files: Sequence[InputFile], columns: Sequence[str] | None, batch_rows: int = 1
) -> tuple[list[InputFile], list[Shard], pa.Schema]:
    """(files with their rows where a footer tells, shards in input order, columns to read: carried ones first).

    `columns` are wanted besides `input.carry`; None: all. Large row groups are cut at multiples of `batch_rows`: a
    batch that is not full costs a model nearly as much as one that is. Raises `InputError` for columns that are not
    there, that have other types in other files, or files that cannot be read.
    """
    parquet = [file for file in files if input.format_of(file.uri) == "parquet"]
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        footers = dict(zip([f.uri for f in parquet], pool.map(read_footer, parquet), strict=True))
    known = [_with_rows(file, footers.get(file.uri)) for file in files]
    schema = _agree(input, files, footers, columns)
    share = sum(file.size for file in files) // _SHARDS_WANTED
    target = input.shard_bytes or min(_SHARD_BYTES_MAX, max(share, _SHARD_BYTES_MIN))
    slices = (
        sized
        for number, file in enumerate(files)
        for sized in (
            _by_groups(number, footers[file.uri], target, batch_rows)
            if file.uri in footers
            else _by_bytes(number, file, target, splits=_splits(input, file))
        )
    )
    return known, list(_shards(slices, target)), schema


def _with_rows(file: InputFile, footer: Footer | None) -> InputFile:
    return file if footer is None else file._replace(rows=sum(rows for rows, _ in footer.groups))


def _splits(input: Input, file: InputFile) -> bool:
    """Whether the file may be read from any line on."""
    quoted = input.quoted_newlines and input.format_of(file.uri) == "csv"
    return not is_compressed(file.uri) and not quoted


def _by_groups(number: int, footer: Footer, target: int, batch_rows: int) -> Iterator[_Sized]:
    """Slices of whole row groups where these are small, of parts of one where it is large."""
    at, start, held = 0, 0, 0
    for rows, size in footer.groups:
        if held and held + size > target * 1.5:
            yield Slice(number, "rows", start, at), held, at - start
            start, held = at, 0
        pieces = min(max(1, round(size / target)), max(1, rows))
        for piece in range(pieces - 1):
            stop = at + rows * (piece + 1) // pieces // batch_rows * batch_rows
            if stop <= start:
                continue
            yield Slice(number, "rows", start, stop), size // pieces, stop - start
            start = stop
        held += size // pieces
        at += rows
    if at > start:
        yield Slice(number, "rows", start, at), held, at - start


def _by_bytes(number: int, file: InputFile, target: int, splits: bool) -> Iterator[_Sized]:
    pieces = max(1, round(file.size / target)) if splits else 1
    for piece in range(pieces if file.size else 0):
        start, stop = file.size * piece // pieces, file.size * (piece + 1) // pieces
        yield Slice(number, "bytes", start, stop), stop - start, None


def _shards(slices: Iterable[_Sized], target: int) -> Iterator[Shard]:
    """Slices of small files together, in order, up to the target."""
    number = 0
    held: list[_Sized] = []
    for sized in slices:
        if held and sum(size for _, size, _ in held) + sized[1] > target * 1.25:
            yield _shard(number, held)
            number, held = number + 1, []
        held.append(sized)
    if held:
        yield _shard(number, held)


def _shard(number: int, held: Sequence[_Sized]) -> Shard:
    counts = [rows for _, _, rows in held]
    rows = None if None in counts else sum(count for count in counts if count is not None)
    return Shard(number, tuple(piece for piece, _, _ in held), rows)


def _agree(
    input: Input, files: Sequence[InputFile], footers: dict[str, Footer], columns: Sequence[str] | None
) -> pa.Schema:
    """The columns to read, with the types that all files share."""
    chosen: pa.Schema | None = None
    chosen_from = ""
    lines_schema = _lines_schema(input, [file for file in files if file.uri not in footers])
    for file in files:
        if not file.size:
            continue
        schema = footers[file.uri].schema if file.uri in footers else lines_schema(file)
        if schema is None:
            continue
        mine = _choose(schema, file.uri, input.carry, columns)
        if chosen is None:
            chosen, chosen_from = mine, file.uri
        elif not mine.equals(chosen):
            raise InputError(_disagreement(chosen, chosen_from, mine, file.uri))
    if chosen is not None:
        return chosen
    return pa.schema([(name, pa.string()) for name in dict.fromkeys([*input.carry, *(columns or ())])])


def _choose(schema: pa.Schema, uri: str, carry: Sequence[str], columns: Sequence[str] | None) -> pa.Schema:
    names = list(dict.fromkeys([*carry, *(schema.names if columns is None else columns)]))
    if not carry and {FILE, ROW} & set(names):
        raise InputError(
            f"{uri}: has a column {FILE!r} or {ROW!r}, which identify rows where nothing is carried: "
            "name a column in input.carry"
        )
    fields: list[pa.Field] = []
    for name in names:
        count = len(schema.get_all_field_indices(name))
        if count == 0:
            near = difflib.get_close_matches(name, schema.names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(f"{uri}: has no column {name!r}; {hint}it has: {', '.join(schema.names) or 'none'}")
        if count > 1:
            raise InputError(f"{uri}: has {count} columns named {name!r}: rename one of them")
        fields.append(schema.field(name).remove_metadata().with_nullable(True))
    return pa.schema(fields)


def _disagreement(one: pa.Schema, one_uri: str, other: pa.Schema, other_uri: str) -> str:
    if one.names != other.names:
        return (
            f"{one_uri} has columns {', '.join(one.names)}, and {other_uri} has {', '.join(other.names)}: "
            "name those that all have in input.columns"
        )
    name = next(name for name in one.names if one.field(name).type != other.field(name).type)
    return (
        f"column {name!r} is {one.field(name).type} in {one_uri} and {other.field(name).type} in {other_uri}: "
        "all input files must agree; leave the column out of input.carry and input.columns, or rewrite a file"
    )


def _lines_schema(input: Input, files: Sequence[InputFile]):
    """The columns of each line file: as its header has them, or as the first lines of the first JSON files show."""
    sampled = [file for file in files if input.format_of(file.uri) == "jsonl" and file.size][:_SAMPLE_FILES]
    heads = (islice(read_lines(file, 0, file.size, input.max_row_bytes), _SAMPLE_LINES) for file in sampled)
    lines = [line for head in heads for line in head]
    json_schema = jsonl.infer_json([line for line in lines if isinstance(line, bytes) and line.strip()])

    def of(file: InputFile) -> pa.Schema | None:
        kind = input.format_of(file.uri)
        if kind == "text":
            return pa.schema([(TEXT, pa.string())])
        if kind == "jsonl":
            return json_schema if len(json_schema) else None
        header, _ = read_csv_header(input, file)
        return pa.schema([(name, pa.string()) for name in header]) if header else None

    return of
