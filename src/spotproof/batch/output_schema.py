"""schema.json: the columns that every part of a job has, agreed once, by the first worker that has results."""

import base64
import json

import pyarrow as pa

from spotproof.batch import layout
from spotproof.core.clock import Clock
from spotproof.core.errors import FunctionError, NotFound, RootDamaged
from spotproof.core.ids import new_nonce
from spotproof.storage.create import create_once
from spotproof.storage.store import Store


def read_schema(store: Store) -> pa.Schema:
    """The agreed schema. Raises `NotFound` before there are results, `RootDamaged`."""
    return _parse(store, store.read(layout.SCHEMA))[0]


def agree_schema(store: Store, candidate: pa.Schema, clock: Clock) -> pa.Schema:
    """The one schema of this job: the standing one, or `candidate`, without columns of no type."""
    try:
        return read_schema(store)
    except NotFound:
        pass
    nonce = new_nonce()
    mine = _without_null_types(candidate)
    document = {
        "nonce": nonce,
        "columns": {column.name: str(column.type) for column in mine},
        "arrow": base64.b64encode(mine.serialize().to_pybytes()).decode(),
    }
    body = json.dumps(document, indent=1).encode()
    create_once(store, layout.SCHEMA, body, nonce, lambda: _parse(store, store.read(layout.SCHEMA))[1], clock)
    return read_schema(store)


def conform(columns: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """The columns in the agreed order and types. Raises `FunctionError` where a value would be lost."""
    table = pa.Table.from_batches([columns])
    if set(table.schema.names) != set(schema.names):
        raise FunctionError(
            f"the function returned columns {sorted(table.schema.names)}, but this job's parts have "
            f"{sorted(schema.names)}; a function must return the same columns for every batch"
        )
    try:
        for name in schema.names:
            _check_no_field_dropped(table.schema.field(name).type, schema.field(name).type)
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise FunctionError(
            f"the function returned {table.select(schema.names).schema.types}, which do not fit this job's "
            f"{schema.types}: {error}; make it return the same types for every batch"
        ) from error


def _check_no_field_dropped(given: pa.DataType, agreed: pa.DataType) -> None:
    # A cast between structs drops fields that the target lacks, without a word.
    if pa.types.is_struct(given) and pa.types.is_struct(agreed):
        known = {field.name: field.type for field in agreed}
        for field in given:
            if field.name not in known:
                raise ValueError(f"the field {field.name!r} is new")
            _check_no_field_dropped(field.type, known[field.name])
    elif pa.types.is_nested(given) and hasattr(given, "value_type") and hasattr(agreed, "value_type"):
        _check_no_field_dropped(given.value_type, agreed.value_type)


def _without_null_types(schema: pa.Schema) -> pa.Schema:
    # A column that is all None in the first batch has no type; text is what such columns (errors, notes) turn out
    # to be, and one schema for all parts is what readers need.
    return pa.schema([f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in schema])


def _parse(store: Store, body: bytes) -> tuple[pa.Schema, str]:
    try:
        document = json.loads(body)
        return pa.ipc.read_schema(pa.BufferReader(base64.b64decode(document["arrow"]))), document["nonce"]
    except (ValueError, KeyError, TypeError, OSError, pa.ArrowException) as error:
        raise RootDamaged(f"{store.uri}/{layout.SCHEMA} cannot be read: {error}") from error
