"""Input order, and halving when memory runs out, with a backend that has little of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from spotproof.batch.embedding.packing import Rows
from spotproof.batch.embedding.runner import Runner

LENGTHS = np.asarray([5, 1, 9, 3, 7, 2, 8, 4, 6, 10], np.int64)


class Numbers:
    """Texts that are just their row numbers."""

    def __init__(self, lengths: np.ndarray = LENGTHS) -> None:
        self.lengths = self.tokens = lengths
        self.truncated = np.zeros(len(lengths), np.bool_)

    def features(self, rows: Rows) -> dict[str, Any]:
        return {"rows": rows, "tokens": len(rows) * int(self.lengths[rows].max())}


class SmallBackend:
    """Fits so many padded tokens."""

    def __init__(self, fits: int, error: Exception) -> None:
        self.fits, self.error = fits, error
        self.tried: list[int] = []
        self.freed = 0

    def forward(self, features: Mapping[str, Any]) -> Any:
        self.tried.append(features["tokens"])
        if features["tokens"] > self.fits:
            raise self.error
        return features["rows"][:, None].astype(np.float32)

    def gather(self, outputs: Sequence[Any]) -> Any:
        return np.concatenate(outputs)

    def free(self) -> None:
        self.freed += 1


ERRORS = [
    MemoryError(),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    type("OutOfMemoryError", (RuntimeError,), {})("Tried to allocate 2 GiB"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:20] or "MemoryError")
def test_a_batch_that_does_not_fit_is_halved(error: Exception) -> None:
    backend, encoded = SmallBackend(20, error), Numbers()
    runner = Runner(backend, budget=100)
    vectors = runner.run(encoded, runner.pack(encoded))
    assert vectors[:, 0].tolist() == list(range(10))
    assert backend.freed >= 1
    assert runner.budget < 100


def test_what_was_too_much_is_remembered() -> None:
    backend, encoded = SmallBackend(20, MemoryError()), Numbers()
    runner = Runner(backend, budget=100)
    stale = runner.pack(encoded)
    runner.run(encoded, runner.pack(encoded))
    backend.tried.clear()
    for batches in (stale, runner.pack(encoded)):
        assert runner.run(encoded, batches)[:, 0].tolist() == list(range(10))
    assert max(backend.tried) <= 20


def test_a_text_that_does_not_fit_alone() -> None:
    runner, encoded = Runner(SmallBackend(5, MemoryError()), budget=100), Numbers()
    with pytest.raises(MemoryError, match="a text of 10 tokens"):
        runner.run(encoded, runner.pack(encoded))


def test_other_errors_pass() -> None:
    runner, encoded = Runner(SmallBackend(5, RuntimeError("shapes differ")), budget=100), Numbers()
    with pytest.raises(RuntimeError, match="shapes"):
        runner.run(encoded, runner.pack(encoded))
