"""Texts to vectors as one callable: `prepare` ahead in another thread, then the model, in input order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spotproof.batch.embedding.devices import choose_device, choose_precision, default_rows, default_tokens
from spotproof.batch.embedding.loading import load_model, prompt_of
from spotproof.batch.embedding.runner import PackedBatch, Runner
from spotproof.batch.embedding.tokens import Encoded, encoder_of
from spotproof.batch.embedding.torch_backend import Backend, TorchBackend
from spotproof.batch.job import Embed
from spotproof.core.errors import ConfigError

_UNLIMITED = 2**62


@dataclass(frozen=True)
class Prepared:
    """Texts tokenised and packed. `present` are the row numbers that hold a text."""

    rows: int
    present: npt.NDArray[np.int64]
    empty: int
    encoded: Encoded = field(repr=False)
    batches: list[PackedBatch] = field(repr=False)


class EmbedTexts:
    """The vectors of a column of texts.

    A null text has a null vector. An empty or blank text has the model's vector for it and is counted. A text longer
    than the model's window is cut to it and counted. Building it imports and loads the model; raises `ConfigError`.
    """

    def __init__(self, settings: Embed, threads: int | None = None) -> None:
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        self.device = choose_device(settings.device)
        self.precision = choose_precision(settings, self.device)
        model = load_model(settings, self.device)
        parameters = sum(int(one.numel()) for one in model.parameters())
        self._settings = settings
        self._encoder = encoder_of(model, prompt_of(model, settings))
        self.backend = _backend(settings, model, self.device, self.precision, threads)
        budget = settings.batch_tokens or default_tokens(self.device)
        # Lengths in characters say too little about memory to limit a batch by them from the start.
        self._runner = Runner(self.backend, budget if self._encoder.by_tokens else _UNLIMITED, self._encoder.max_rows)
        self.batch_rows: int = settings.batch_rows or default_rows(self.device, parameters)
        self.dimension: int = model.get_embedding_dimension() or self._vectors(self._encoder.encode([""])).shape[1]
        value = pa.float16() if settings.dtype == "float16" else pa.float32()
        self.output_schema = pa.schema([pa.field(settings.output_column, pa.list_(value, self.dimension))])

    def prepare(self, rows: pa.RecordBatch) -> Prepared:
        """Tokenise and pack; safe in another thread. Raises `ConfigError` if the text column is not of texts."""
        texts = _texts(rows, self._settings.text_column)
        present = [row for row, text in enumerate(texts) if text is not None]
        given = [text for text in texts if text is not None]
        empty = sum(not text.strip() for text in given)
        encoded = self._encoder.encode(given)
        return Prepared(len(texts), np.asarray(present, np.int64), empty, encoded, self._runner.pack(encoded))

    def __call__(self, prepared: Prepared) -> tuple[pa.RecordBatch, dict[str, int]]:
        """The column of vectors, in the order of the rows, and what was counted.

        Raises `ValueError` naming the rows whose vector is not finite, `MemoryError` for a text that does not fit.
        """
        vectors = np.zeros((prepared.rows, self.dimension), np.float32)
        if prepared.batches:
            vectors[prepared.present] = self._runner.run(prepared.encoded, prepared.batches)
        if self._settings.normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return self._column(vectors, prepared.present), _counts(prepared)

    def _vectors(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        return self._runner.run(encoded, self._runner.pack(encoded))

    def _column(self, vectors: npt.NDArray[np.float32], present: npt.NDArray[np.int64]) -> pa.RecordBatch:
        kind = np.float16 if self._settings.dtype == "float16" else np.float32
        with np.errstate(over="ignore"):  # what overflows is found just below
            values = vectors.astype(kind, copy=False)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise ValueError(f"the model gave numbers that are not finite for rows {_some(bad)} of the batch")
        null = np.ones(len(values), np.bool_)
        null[present] = False
        made = pa.FixedSizeListArray.from_arrays(
            pa.array(values.reshape(-1)), type=self.output_schema.field(0).type, mask=pa.array(null)
        )
        return pa.RecordBatch.from_arrays([made], schema=self.output_schema)


def _backend(settings: Embed, model: Any, device: str, precision: str, threads: int | None) -> Backend:
    if settings.backend == "torch":
        return TorchBackend(model, device, precision)
    from spotproof.batch.embedding.onnx_backend import OnnxBackend

    return OnnxBackend.of(settings.model, model, device, threads)


def _texts(rows: pa.RecordBatch, name: str) -> list[str | None]:
    at = rows.schema.get_field_index(name)
    if at < 0:
        raise ConfigError(
            f"the input has no column {name!r} (or has it twice); embed.text_column must be one of {rows.schema.names}"
        )
    column: Any = rows.column(at)
    kind: Any = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    view = getattr(pa.types, "is_string_view", lambda _kind: False)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind) or view(kind)):
        raise ConfigError(f"the column {name!r} holds {kind}, not texts; embed.text_column must name a string column")
    return column.to_pylist()


def _counts(prepared: Prepared) -> dict[str, int]:
    counts: Mapping[str, Any] = {
        "texts_truncated": prepared.encoded.truncated.sum(),
        "texts_empty": prepared.empty,
        "texts_null": prepared.rows - len(prepared.present),
        "tokens": prepared.encoded.tokens.sum(),
    }
    return {name: int(value) for name, value in counts.items()}


def _some(rows: npt.NDArray[np.int64]) -> str:
    return ", ".join(str(row) for row in rows[:10]) + (f" and {len(rows) - 10} more" if len(rows) > 10 else "")
