"""JSON lines: one object a line. By the block where all is well, line by line where it is not, with one meaning."""

import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.json

from spotproof.batch.inputs.parsed import Parsed, build

_TEXT_KEPT = 200


def parse_json(lines: Sequence[bytes], schema: pa.Schema) -> Parsed:
    """Rows of `schema` from lines; a key that is absent is null, one that is not asked for is passed over."""
    fast = _fast(lines, schema)
    if fast is not None:
        return Parsed(fast, list(range(len(lines))), [])
    columns: list[list[object]] = [[] for _ in schema]
    kept: list[int] = []
    bad: list[tuple[int, str, str]] = []
    for position, line in enumerate(lines):
        try:
            values = _values(line, schema)
        except (ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException) as error:
            bad.append((position, type(error).__name__, f"{error} in: {_shown(line)}"))
            continue
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        kept.append(position)
    return Parsed(build(schema, columns, kept), kept, bad)


def infer_json(lines: Sequence[bytes]) -> pa.Schema:
    """Column types of the objects in some lines, in the order of the names; lines that are none do not count."""
    found: dict[str, list[Any]] = {}
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            for name, inner in value.items():
                found.setdefault(name, []).append(inner)
    return pa.schema([(name, _type_of(values)) for name, values in found.items()])


def _type_of(values: list[Any]) -> pa.DataType:
    present = [value for value in values if value is not None]
    for sample in (present, present[:1]):
        try:
            kind: pa.DataType = pa.array(sample).type
        except (pa.ArrowException, OverflowError):
            continue
        return pa.string() if pa.types.is_null(kind) else kind
    return pa.string()


def _fast(lines: Sequence[bytes], schema: pa.Schema) -> pa.RecordBatch | None:
    """All lines at once; None where anything at all is unusual."""
    if not lines or not len(schema):
        return None
    body = b"\n".join(lines)
    try:
        body.decode()
        # One object must be one line, or two wrongs could make the right number of rows.
        if not all(line.strip().startswith(b"{") and line.strip().endswith(b"}") for line in lines):
            return None
        table = pyarrow.json.read_json(
            io.BytesIO(body),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(body) + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
        if table.num_rows != len(lines) or not table.schema.equals(schema):
            return None
        return table.combine_chunks().to_batches()[0]
    except (ValueError, OSError, pa.ArrowException):
        return None


def _values(line: bytes, schema: pa.Schema) -> list[object]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise TypeError(f"a line must hold an object, not {type(value).__name__}")
    return [_checked(field, value.get(field.name)) for field in schema]


def _checked(field: pa.Field, value: Any) -> object:
    try:
        if isinstance(value, str):
            value.encode()  # a lone surrogate is JSON, and no text
        pa.array([value], type=field.type)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, ValueError, TypeError) as error:
        raise TypeError(f"{field.name!r} is not {field.type}: {error}") from error
    return value


def _shown(line: bytes) -> str:
    text = line[:_TEXT_KEPT].decode(errors="replace")
    return text + ("..." if len(line) > _TEXT_KEPT else "")
