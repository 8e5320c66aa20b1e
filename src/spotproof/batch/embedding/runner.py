"""Runs packed batches; when memory runs out, in halves, and remembers what was too much."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spotproof.batch.embedding.devices import is_out_of_memory
from spotproof.batch.embedding.packing import Rows, cost, halves, pack
from spotproof.batch.embedding.tokens import Encoded
from spotproof.batch.embedding.torch_backend import Backend, Vectors


@dataclass(frozen=True)
class PackedBatch:
    """Rows that go through the model together, and their features, ready."""

    rows: Rows
    features: dict[str, Any] = field(repr=False)


class Runner:
    """`pack` (in any thread) and `run` (in one). `budget` is in padded tokens a batch; it only ever falls."""

    def __init__(self, backend: Backend, budget: int, max_rows: int | None = None) -> None:
        self.budget = budget
        self._backend = backend
        self._max_rows = max_rows

    def pack(self, encoded: Encoded) -> list[PackedBatch]:
        """All texts in batches, with features."""
        packed = pack(encoded.lengths, self.budget, self._max_rows)
        return [PackedBatch(rows, encoded.features(rows)) for rows in packed]

    def run(self, encoded: Encoded, batches: Sequence[PackedBatch]) -> Vectors:
        """One vector for each text, in the order of the texts. Raises `MemoryError` if one alone does not fit."""
        waiting, rows_done, outputs = deque(batches), list[Rows](), list[Any]()
        while waiting:
            batch = waiting.popleft()
            padded = cost(encoded.lengths, batch.rows)
            # A batch packed before memory ran out is taken apart before it is tried.
            output = self._try(batch) if padded <= self.budget or len(batch.rows) == 1 else None
            if output is not None:
                rows_done.append(batch.rows)
                outputs.append(output)
                continue
            if len(batch.rows) == 1:
                raise MemoryError(f"a text of {padded} tokens does not fit into memory, alone in its batch")
            self.budget = min(self.budget, max(1, padded // 2))
            waiting.extendleft(PackedBatch(half, encoded.features(half)) for half in reversed(halves(batch.rows)))
        return self._in_order(rows_done, outputs)

    def _try(self, batch: PackedBatch) -> Any | None:
        try:
            return self._backend.forward(batch.features)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # After the except block, where the error no longer holds on to the batch's tensors.
        self._backend.free()
        return None

    def _in_order(self, rows: Sequence[Rows], outputs: Sequence[Any]) -> Vectors:
        gathered = self._backend.gather(outputs)
        ordered = np.empty_like(gathered)
        ordered[np.concatenate(rows)] = gathered
        return ordered
