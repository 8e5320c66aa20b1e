"""CSV: a header, then a record a line; every column is text. With quoted line breaks only if the job says so."""

import csv
import io
from collections.abc import Iterator, Sequence

import pyarrow as pa

from spotproof.batch.inputs.lines import TOO_LONG, Line, TooLong
from spotproof.batch.inputs.parsed import Parsed, build
from spotproof.core.errors import InputError

_TEXT_KEPT = 200


def parse_header(line: bytes, delimiter: str, uri: str) -> list[str]:
    """Column names. Raises `InputError`."""
    try:
        (names,) = csv.reader([line.decode()], delimiter=delimiter, strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"{uri}: its first line cannot be read as a CSV header: {error}") from error
    return names


def parse_csv(
    lines: Sequence[bytes], schema: pa.Schema, header: Sequence[str], delimiter: str, uri: str, joined: bool
) -> Parsed:
    """Rows of `schema` from records. `joined` records may hold line breaks; others must not be cut by one.

    Raises `InputError` where a quoted field runs over the end of a line and the job does not say that it may.
    """
    wanted = [header.index(name) for name in schema.names]
    columns: list[list[object]] = [[] for _ in schema]
    kept: list[int] = []
    bad: list[tuple[int, str, str]] = []
    for position, line in enumerate(lines):
        if not joined and line.count(b'"') % 2:
            raise InputError(
                f"{uri}: a quoted field runs over the end of a line ({_shown(line)}): "
                "set input.quoted_newlines: true, and use a new root"
            )
        try:
            (fields,) = csv.reader(io.StringIO(line.decode(), newline=""),
                                   delimiter=delimiter, strict=True)  # fmt: skip
            if len(fields) != len(header):
                raise ValueError(f"{len(fields)} fields where the header has {len(header)}")
        except (UnicodeDecodeError, csv.Error, ValueError) as error:
            bad.append((position, type(error).__name__, f"{error} in: {_shown(line)}"))
            continue
        for column, at in zip(columns, wanted, strict=True):
            column.append(fields[at])
        kept.append(position)
    return Parsed(build(schema, columns, kept), kept, bad)


def join_quoted(lines: Iterator[Line], record_bytes_max: int) -> Iterator[Line]:
    """Lines put together until their quotes are balanced."""
    held: list[bytes] = []
    size, is_open, too_long = 0, False, False
    for line in lines:
        if isinstance(line, TooLong):
            too_long = True
            line = b""
        size += len(line)
        too_long = too_long or size > record_bytes_max
        held = [] if too_long else [*held, line]
        is_open ^= line.count(b'"') % 2 == 1
        if not is_open:
            yield TOO_LONG if too_long else b"\n".join(held)
            held, size, too_long = [], 0, False
    if is_open:
        yield TOO_LONG if too_long else b"\n".join(held)


def _shown(line: bytes) -> str:
    text = line[:_TEXT_KEPT].decode(errors="replace")
    return text + ("..." if len(line) > _TEXT_KEPT else "")
