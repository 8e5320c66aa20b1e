"""What happens to a batch that raises: it is taken apart until the rows that raise stand alone."""

import threading
import traceback
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from spotproof.batch.computation import Computation, Computed
from spotproof.batch.job import Errors
from spotproof.batch.rows import Refusal
from spotproof.core.errors import SpotproofError, TooManyRefused

_ERROR_TEXT_MAX = 4000


@dataclass
class RefusalBudget:
    """How many rows may be refused before the job stops. Interruptions never touch it. Thread-safe."""

    allowed: Errors
    rows_seen: int = 0
    rows_refused: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def saw(self, rows: int) -> None:
        """Count rows that went through, refused ones included."""
        with self._lock:
            self.rows_seen += rows

    def refuse(self, refusal: Refusal) -> None:
        """Count one refused row. Raises `TooManyRefused` when it is one too many."""
        with self._lock:
            self.rows_refused += 1
            limit = max(self.allowed.rows, self.allowed.fraction * self.rows_seen)
            if self.rows_refused > limit:
                raise TooManyRefused(
                    f"{self.rows_refused} of {self.rows_seen} rows were refused, more than `errors` allows "
                    f"(rows: {self.allowed.rows}, fraction: {self.allowed.fraction}); the last one: "
                    f"{refusal.error_type}: {_first_line(refusal.error)}. Mend the function, or raise the limit"
                )


def refusal_of(row: int, error: BaseException) -> Refusal:
    """A row's refusal, with the end of the traceback."""
    text = "".join(traceback.format_exception(error, limit=-6))
    return Refusal(row, type(error).__name__, text[-_ERROR_TEXT_MAX:])


def take_apart(
    computation: Computation, rows: pa.RecordBatch, index: np.ndarray, error: Exception, budget: RefusalBudget
) -> tuple[list[tuple[int, Computed]], list[Refusal]]:
    """Compute a batch that raised `error` in ever smaller pieces, until only single rows raise.

    Returns the pieces computed, each with its offset in the batch, and the rows refused. A `SpotproofError` (a broken
    contract, not a bad row) passes through.
    """
    if isinstance(error, SpotproofError):
        raise error
    if rows.num_rows == 1:
        refusal = refusal_of(int(index[0]), error)
        budget.refuse(refusal)
        return [], [refusal]
    half = rows.num_rows // 2
    pieces: list[tuple[int, Computed]] = []
    refused: list[Refusal] = []
    for offset, length in ((0, half), (half, rows.num_rows - half)):
        part, numbers = rows.slice(offset, length), index[offset : offset + length]
        try:
            computed = computation.start(computation.prepare(part), length).result()
        except Exception as smaller:
            inner, refusals = take_apart(computation, part, numbers, smaller, budget)
            pieces.extend((offset + at, piece) for at, piece in inner)
            refused.extend(refusals)
        else:
            pieces.append((offset, computed))
    return pieces, refused


def _first_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
