"""Texts to token ids, ahead of the model and in another thread, in the way the model itself would do it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from spotproof.batch.embedding.packing import Rows

_PLAIN_FEATURES = {"input_ids", "attention_mask", "token_type_ids"}
_PROBE = ["", "Two words", "Ünïcode, 日本 🙂 and\nlines  here"]
# What sentence-transformers itself takes at a time; the fallback cannot know tokens before it has made them.
FALLBACK_ROWS = 32


class Encoded(Protocol):
    """Some texts, tokenised. All arrays have one entry a text; `lengths` steers the packing."""

    lengths: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]

    def features(self, rows: Rows) -> dict[str, Any]:
        """What the model's first module is given for these texts, padded to the longest of them."""
        ...


class Encoder(Protocol):
    """Tokenises. `max_rows` limits a batch; `by_tokens` tells whether lengths are tokens (else characters)."""

    max_rows: int | None
    by_tokens: bool

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Tokenise `texts`; truncated at the model's window."""
        ...


def encoder_of(model: Any, prompt: str | None) -> Encoder:
    """The fast encoder where `model` is a plain text transformer, else one that asks the model for features."""
    return PlainEncoder.of(model, prompt) or ModelEncoder(model, prompt)


@dataclass(frozen=True)
class Padding:
    """How a tokenizer fills short rows."""

    ids: Mapping[str, int]
    left: bool


class PlainTokens:
    """Token ids of all texts end to end; padded batch by batch."""

    def __init__(
        self,
        columns: Mapping[str, npt.NDArray[np.int64]],
        lengths: npt.NDArray[np.int64],
        truncated: npt.NDArray[np.bool_],
        padding: Padding,
        extra: Mapping[str, Any],
    ) -> None:
        self.lengths = self.tokens = lengths
        self.truncated = truncated
        self._columns = columns
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)[:-1]])
        self._padding = padding
        self._extra = extra

    def features(self, rows: Rows) -> dict[str, Any]:
        lengths = self.lengths[rows]
        width = int(lengths.max(initial=0))
        at = np.arange(width, dtype=np.int64)[None, :]
        if self._padding.left:
            at = at - (width - lengths)[:, None]
        real = (at >= 0) & (at < lengths[:, None])
        source = np.where(real, self._starts[rows][:, None] + at, 0)
        made: dict[str, Any] = {
            name: np.where(real, flat[source], self._padding.ids[name]) for name, flat in self._columns.items()
        }
        return {**made, "attention_mask": real.astype(np.int64), **self._extra}


class PlainEncoder:
    """Calls the Rust tokenizer beneath the model's own, configured by it, without padding."""

    max_rows: int | None = None
    by_tokens = True

    def __init__(self, tokenizer: Any, names: Sequence[str], prefix: str, prompt_length: int | None) -> None:
        self._rust = tokenizer.backend_tokenizer
        self._with_types = "token_type_ids" in names
        ids = {"input_ids": int(tokenizer.pad_token_id), "token_type_ids": int(tokenizer.pad_token_type_id)}
        self._padding = Padding(ids, left=tokenizer.padding_side == "left")
        self._prefix = prefix
        self._extra: dict[str, Any] = {"modality": "text"}
        if prompt_length is not None:
            self._extra["prompt_length"] = prompt_length

    @classmethod
    def of(cls, model: Any, prompt: str | None) -> "PlainEncoder | None":
        """An encoder that gives `model` exactly what its own preprocessing would; None if there is doubt."""
        first: Any = model[0]
        tokenizer: Any = getattr(first, "tokenizer", None)
        if not _is_plain(first, tokenizer):
            return None
        wanted = model.preprocess(list(_PROBE), prompt=prompt)
        length = wanted.get("prompt_length")
        # This call leaves the Rust tokenizer with the model's window and truncation, and without padding.
        names = list(tokenizer(["probe"], padding=False, truncation="longest_first"))
        encoder = cls(tokenizer, names, prompt or "", None if length is None else int(length))
        return encoder if encoder._agrees(wanted) else None

    def _agrees(self, wanted: Mapping[str, Any]) -> bool:
        made = self.encode(_PROBE).features(np.arange(len(_PROBE), dtype=np.int64))
        return set(made) == set(wanted) and all(
            np.array_equal(np.asarray(value), np.asarray(wanted[name])) for name, value in made.items()
        )

    def encode(self, texts: Sequence[str]) -> PlainTokens:
        found = self._rust.encode_batch_fast([self._prefix + text for text in texts] if self._prefix else list(texts))
        lengths = np.fromiter((len(one) for one in found), np.int64, len(found))
        longest = int(lengths.max(initial=0))
        # Only a row as long as the longest can have lost a part; asking every row is slow.
        truncated = np.fromiter((len(one) == longest and bool(one.overflowing) for one in found), np.bool_, len(found))
        columns = {"input_ids": _flat([one.ids for one in found])}
        if self._with_types:
            columns["token_type_ids"] = _flat([one.type_ids for one in found])
        return PlainTokens(columns, lengths, truncated, self._padding, self._extra)


def _is_plain(first: Any, tokenizer: Any) -> bool:
    from sentence_transformers.base.modules.transformer import Transformer

    return (
        isinstance(first, Transformer)
        and type(first).preprocess is Transformer.preprocess
        and set(first.modality_config) == {"text"}
        and getattr(tokenizer, "is_fast", False)
        and getattr(tokenizer, "pad_token_id", None) is not None
        and set(tokenizer.model_input_names) <= _PLAIN_FEATURES
        and "attention_mask" in tokenizer.model_input_names
    )


def _flat(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(rows), np.int64, sum(map(len, rows)))


class ModelTokens:
    """Texts whose features the model makes itself, batch by batch. Counts are known once features were made."""

    def __init__(self, model: Any, prompt: str | None, texts: Sequence[str]) -> None:
        self._model, self._prompt, self._texts = model, prompt, texts
        self.lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
        self.tokens = np.zeros(len(texts), np.int64)
        self.truncated = np.zeros(len(texts), np.bool_)

    def features(self, rows: Rows) -> dict[str, Any]:
        made: dict[str, Any] = dict(self._model.preprocess([self._texts[i] for i in rows], prompt=self._prompt))
        mask: Any = made.get("attention_mask")
        if mask is not None and tuple(mask.shape)[:1] == (len(rows),):
            self.tokens[rows] = np.asarray(mask.sum(1))
            window = getattr(self._model, "max_seq_length", None)
            if window is not None:
                # Cut texts cannot be told from exact fits here: a full window counts as truncated.
                self.truncated[rows] = self.tokens[rows] >= window
        return made


class ModelEncoder:
    """Any other sentence-transformers model (static, bag of words, chat templates, CLIP): its own preprocessing."""

    max_rows: int | None = FALLBACK_ROWS
    by_tokens = False

    def __init__(self, model: Any, prompt: str | None) -> None:
        self._model, self._prompt = model, prompt

    def encode(self, texts: Sequence[str]) -> ModelTokens:
        return ModelTokens(self._model, self._prompt, texts)
