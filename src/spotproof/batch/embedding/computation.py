"""The embedding of texts as a computation of the batch layer."""

from concurrent.futures import Future
from typing import Any

import numpy as np
import pyarrow as pa

from spotproof.batch.computation import Computed
from spotproof.batch.embedding.function import EmbedTexts
from spotproof.batch.job import Embed


class EmbedComputation:
    """Feeds `EmbedTexts`: one vector for each row, tokenised ahead. `threads` for the model; None: the library's."""

    concurrency = 1

    def __init__(self, settings: Embed, threads: int | None = None) -> None:
        self._function = EmbedTexts(settings, threads=threads)
        self.batch_rows = self._function.batch_rows

    def prepare(self, rows: pa.RecordBatch) -> Any:
        """Tokenise and pack."""
        return self._function.prepare(rows)

    def start(self, prepared: Any, rows: int) -> "Future[Computed]":
        """Run the model; the future is finished on return."""
        done: Future[Computed] = Future()
        try:
            vectors, counts = self._function(prepared)
            done.set_result(Computed(vectors, np.arange(rows, dtype=np.int64), counts))
        except Exception as error:
            done.set_exception(error)
        return done
