"""One computation, whatever gave it: a user's function, a user's class, or the embedding of texts."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from spotproof.batch.function import FunctionOptions, options_of
from spotproof.core.errors import FunctionError

ORIGIN = "origin"


class Computed:
    """What one call gave: columns, the batch row that each output row came from, and counters to add up."""

    def __init__(self, columns: pa.RecordBatch, origin: np.ndarray, counts: Mapping[str, int] | None = None) -> None:
        self.columns = columns
        self.origin = origin
        self.counts = counts or {}


class Computation(Protocol):
    """Built once per worker. `prepare` runs ahead in another thread; `start` computes what was prepared.

    `batch_rows` is how many rows one call is given; `concurrency` how many may be started before the first is done.
    """

    batch_rows: int
    concurrency: int

    def prepare(self, rows: pa.RecordBatch) -> Any:
        """Whatever `start` wants for these rows."""
        ...

    def start(self, prepared: Any, rows: int) -> "Future[Computed]":
        """Compute; a finished future where the computation is not asynchronous. Errors come from the future."""
        ...


class UserFunction:
    """A function or class of the user's, fed with dicts of arrays or record batches."""

    def __init__(self, function: Callable[..., Any]) -> None:
        options: FunctionOptions = options_of(function)
        self.batch_rows = options.batch_rows
        self._format = options.batch_format
        call: Any = function() if inspect.isclass(function) else function
        if not callable(call):
            raise FunctionError(f"{function!r} has no __call__ that batches could be given to")
        self._call: Callable[..., Any] = call
        self._prepare: Callable[[Any], Any] | None = getattr(self._call, "prepare", None)
        body: Any = self._call if inspect.isfunction(self._call) else getattr(self._call, "__call__", None)  # noqa: B004
        self._loop = _LoopThread() if inspect.iscoroutinefunction(body) else None
        self.concurrency = options.concurrency if self._loop else 1

    def prepare(self, rows: pa.RecordBatch) -> Any:
        batch = to_numpy(rows) if self._format == "numpy" else rows
        return _not_exiting(self._prepare, batch) if self._prepare else batch

    def start(self, prepared: Any, rows: int) -> "Future[Computed]":
        if self._loop is not None:
            return self._loop.submit(self._await(prepared, rows))
        done: Future[Computed] = Future()
        try:
            done.set_result(to_computed(_not_exiting(self._call, prepared), rows))
        except Exception as error:
            done.set_exception(error)
        return done

    async def _await(self, prepared: Any, rows: int) -> Computed:
        try:
            given = await self._call(prepared)
        except (SystemExit, KeyboardInterrupt) as error:
            # These would end the event loop, and every batch in flight would then be waited for without end.
            raise _exit_error(error) from error
        return to_computed(given, rows)


def _not_exiting(call: Callable[[Any], Any], batch: Any) -> Any:
    """`call(batch)`; a `sys.exit` in it is neither a bad row nor a worker that is done."""
    try:
        return call(batch)
    except SystemExit as error:
        raise _exit_error(error) from error


def _exit_error(error: BaseException) -> FunctionError:
    return FunctionError(
        f"the function raised {error!r}, which ends a process; raise an ordinary exception to refuse a row"
    )


class _LoopThread:
    """An event loop in a thread of its own, for async functions."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="spotproof-async", daemon=True).start()

    def submit(self, work: Coroutine[Any, Any, Computed]) -> "Future[Computed]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def to_numpy(rows: pa.RecordBatch) -> dict[str, np.ndarray]:
    """The columns as numpy arrays; fixed-size lists become two-dimensional, texts become objects.

    None stays None in texts; in whole numbers it makes them floats with NaN, as pandas does.
    """
    return {name: _column_to_numpy(rows.column(i)) for i, name in enumerate(rows.schema.names)}


def _column_to_numpy(column: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(column.type) and not column.null_count:
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
    return column.to_numpy(zero_copy_only=False)


def to_computed(given: Any, rows: int) -> Computed:
    """What a function returned for `rows` input rows, checked. Raises `FunctionError` saying what is wrong."""
    if isinstance(given, Computed):
        return given
    columns = _to_columns(given)
    names = columns.schema.names
    if len(set(names)) < len(names):
        raise FunctionError(f"the function returned two columns of one name: {names}")
    origin_at = columns.schema.get_field_index(ORIGIN)
    if origin_at < 0:
        if columns.num_rows != rows:
            raise FunctionError(
                f"the function was given {rows} rows and returned {columns.num_rows}; where the counts differ it must "
                f"also return '{ORIGIN}': for each output row, the number (from 0) of the input row it came from"
            )
        return Computed(columns, np.arange(rows, dtype=np.int64))
    origin = _check_origin(columns.column(origin_at), rows)
    kept = [i for i in range(columns.num_columns) if i != origin_at]
    return Computed(columns.select(kept), origin)


def _to_columns(given: Any) -> pa.RecordBatch:
    if isinstance(given, pa.RecordBatch):
        return given
    if isinstance(given, pa.Table):
        return given.combine_chunks().to_batches()[0] if given.num_rows else _empty(given.schema)
    if not isinstance(given, Mapping):
        raise FunctionError(
            f"the function returned {type(given).__name__}; it must return a dict of columns or a pyarrow RecordBatch"
        )
    arrays: dict[str, pa.Array] = {str(name): _to_array(str(name), values) for name, values in given.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise FunctionError(f"the function returned columns of different lengths: {lengths}")
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], type=f.type) for f in schema], schema=schema)


def _to_array(name: str, values: Any) -> pa.Array:
    try:
        if isinstance(values, pa.ChunkedArray):
            return values.combine_chunks()
        if isinstance(values, pa.Array):
            return values
        if isinstance(values, list):
            return pa.array(values)
        # An array is taken as it is: asarray would drop the mask of a masked one.
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
        if array.ndim == 0:
            raise FunctionError(
                f"the function returned {type(values).__name__} as column {name!r}; "
                "it must be an array or a list with one value for each output row"
            )
        if array.ndim == 2 and array.shape[1] > 0:
            flat = pa.array(np.ascontiguousarray(array).reshape(-1))
            return pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
        if array.dtype.kind in "UT":
            return pa.array(array.tolist(), type=pa.string())
        return pa.array(array)
    except UnicodeError:
        raise  # text that cannot be encoded is one row's fault: it is refused, and the others are kept
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise FunctionError(f"the function returned a column {name!r} that cannot be stored: {error}") from error


def _check_origin(column: pa.Array, rows: int) -> np.ndarray:
    origin = np.asarray(column.to_numpy(zero_copy_only=False))
    if origin.dtype.kind not in "iu" and len(origin):
        raise FunctionError(f"'{ORIGIN}' must hold whole numbers, not {column.type}")
    origin = origin.astype(np.int64)
    if len(origin) and (origin.min() < 0 or origin.max() >= rows or (np.diff(origin) < 0).any()):
        raise FunctionError(f"'{ORIGIN}' must be ascending numbers from 0 to {rows - 1} (the rows of the batch)")
    return origin
