"""Embedding, timed against a bare loop and against sentence-transformers, paired in one run.

    python -m benchmarks.embedding [--rows N] [--repeat R] [--json]

(a) a bare loop over the very batches, tokenised and packed before the clock starts; (b) `EmbedTexts` as a worker calls
it, tokenising ahead in a thread; (c) `SentenceTransformer.encode(batch_size=32)` on chunks of 1,000 in file order.
Exits 1 when b does less than 0.97 of a's rows a second, or less than 1.45 times c's (the latter is for CPUs).
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from spotproof.batch.embedding.function import EmbedTexts
from spotproof.batch.embedding.model_files import find_model
from spotproof.batch.job import Embed
from spotproof.batch.read_ahead import ReadAhead
from spotproof.cli.demo_corpus import passages

MODEL = "all-MiniLM-L6-v2"
LEAST_OF_BARE = 0.97
LEAST_OF_ENCODE = 1.45
_CHUNK = 1_000


def sample(rows: int) -> list[str]:
    """`rows` texts of the standard library, evenly spread, in file order; repeated where it has fewer."""
    texts = [one.text for one in passages()]
    if rows >= len(texts):
        return (texts * -(-rows // len(texts)))[:rows]
    return [texts[i * len(texts) // rows] for i in range(rows)]


class Contest:
    """The three ways to the same vectors, ready to be timed."""

    def __init__(self, texts: list[str], settings: Embed, threads: int | None = None) -> None:
        from sentence_transformers import SentenceTransformer

        self.texts = texts
        self.embed = EmbedTexts(settings, threads=threads)
        column = pa.RecordBatch.from_arrays([pa.array(texts)], names=["text"])
        step = self.embed.batch_rows
        self._blocks = [column.slice(at, step) for at in range(0, len(texts), step)]
        self._ready = [self.embed.prepare(block) for block in self._blocks]
        self._rival: Any = SentenceTransformer(str(find_model(settings.model)), device=self.embed.device)
        if self.embed.precision != "fp32":
            self._rival.bfloat16() if self.embed.precision == "bf16" else self._rival.half()

    def bare(self) -> None:
        """(a) Only forward passes and the copy to the host."""
        backend = self.embed.backend
        for prepared in self._ready:
            backend.gather([backend.forward(batch.features) for batch in prepared.batches])

    def ours(self) -> None:
        """(b) What a worker does between reading and writing."""
        ahead = ReadAhead(self._prepared(), 2)
        try:
            for prepared in ahead:
                self.embed(prepared)
        finally:
            ahead.close()

    def _prepared(self) -> Iterator[Any]:
        for block in self._blocks:
            yield self.embed.prepare(block)

    def encode(self) -> None:
        """(c) What most people write first."""
        for at in range(0, len(self.texts), _CHUNK):
            self._rival.encode(self.texts[at : at + _CHUNK], batch_size=32, show_progress_bar=False)


def measure(contest: Contest, repeat: int) -> dict[str, Any]:
    """Rows a second of each way and the medians of the paired ratios. One warm-up, then alternating order."""
    ways: list[tuple[str, Callable[[], None]]] = [
        ("bare", contest.bare), ("spotproof", contest.ours), ("encode", contest.encode),
    ]  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name, _ in ways}
    _warm_up(contest)
    for turn in range(repeat):
        for name, way in ways if turn % 2 == 0 else reversed(ways):
            begun = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begun)
    to_bare = [bare / ours for bare, ours in zip(seconds["bare"], seconds["spotproof"], strict=True)]
    to_encode = [encode / ours for encode, ours in zip(seconds["encode"], seconds["spotproof"], strict=True)]
    return {
        "rows": len(contest.texts), "device": contest.embed.device, "precision": contest.embed.precision,
        "seconds": seconds,
        "rows_per_second": {name: len(contest.texts) / statistics.median(took) for name, took in seconds.items()},
        "of_bare": statistics.median(to_bare), "of_encode": statistics.median(to_encode),
        "each_of_bare": to_bare, "each_of_encode": to_encode, "load_average": os.getloadavg()[0],
    }  # fmt: skip


def _warm_up(contest: Contest) -> None:
    whole, contest.texts = contest.texts, contest.texts[:64]
    contest.encode()
    contest.texts = whole
    contest.embed(contest.embed.prepare(pa.RecordBatch.from_arrays([pa.array(whole[:64])], names=["text"])))


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_500)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--threads", type=int, default=None, help="for the model; default: the library's choice")
    parser.add_argument("--batch-tokens", type=int, default=None)
    parser.add_argument("--batch-rows", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    settings = Embed(args.model, batch_tokens=args.batch_tokens, batch_rows=args.batch_rows)
    result = measure(Contest(sample(args.rows), settings, args.threads), args.repeat)
    if args.json:
        print(json.dumps(result))
    else:
        for name, speed in result["rows_per_second"].items():
            print(f"{name:10} {speed:9,.1f} rows/s")
        for name, least in (("bare", LEAST_OF_BARE), ("encode", LEAST_OF_ENCODE)):
            each = " ".join(f"{ratio:.3f}" for ratio in result[f"each_of_{name}"])
            print(f"spotproof / {name:7} {result[f'of_{name}']:.3f}   (at least {least}; each: {each})")
        # Ratios far apart, or a load well above the cores, mean that the machine was not quiet.
        print(f"load average {result['load_average']:.1f} on {os.cpu_count()} cores")
    return 0 if result["of_bare"] >= LEAST_OF_BARE and result["of_encode"] >= LEAST_OF_ENCODE else 1


if __name__ == "__main__":
    sys.exit(main())
