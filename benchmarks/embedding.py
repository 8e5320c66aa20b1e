"""Embedding, timed against a bare loop and against sentence-transformers.

    python -m benchmarks.embedding [--rows N] [--repeat R] [--json]

(a) a bare loop over the very batches, tokenised and packed before the clock starts; (b) a whole `spotproof run` with
one worker, from the model's being loaded to the last commit; (c) `SentenceTransformer.encode(batch_size=32)` on
chunks of 1,000 in file order. The three are processes that take turns of two seconds, and so see the same machine.
Exits 1 when b does less than 0.97 of a's rows a second, or less than 1.45 times c's (the latter is for CPUs).
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.turns import active_seconds, take_turns
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


def bare_loop(texts: list[str], embed: dict[str, Any]) -> Callable[[], None]:
    """(a) Only forward passes and the copy to the host, over what is ready in memory."""
    from spotproof.batch.embedding.function import EmbedTexts
    from spotproof.batch.job import Embed

    function = EmbedTexts(Embed(MODEL, **embed))
    column = pa.RecordBatch.from_arrays([pa.array(texts)], names=["text"])
    step = function.batch_rows
    ready = [function.prepare(column.slice(at, step)) for at in range(0, len(texts), step)]
    function(function.prepare(column.slice(0, 64)))

    def run() -> None:
        for prepared in ready:
            function.backend.gather([function.backend.forward(batch.features) for batch in prepared.batches])

    return run


def encode_loop(texts: list[str], embed: dict[str, Any]) -> Callable[[], None]:
    """(c) What most people write first."""
    from sentence_transformers import SentenceTransformer

    from spotproof.batch.embedding.devices import choose_device, choose_precision
    from spotproof.batch.embedding.model_files import find_model
    from spotproof.batch.job import Embed

    settings = Embed(MODEL, **embed)
    device = choose_device(settings.device)
    precision = choose_precision(settings, device)
    model: Any = SentenceTransformer(str(find_model(MODEL)), device=device)
    if precision != "fp32":
        model.bfloat16() if precision == "bf16" else model.half()
    model.encode(texts[:64], batch_size=32, show_progress_bar=False)

    def run() -> None:
        for at in range(0, len(texts), _CHUNK):
            model.encode(texts[at : at + _CHUNK], batch_size=32, show_progress_bar=False)

    return run


LOOPS = {"bare": bare_loop, "encode": encode_loop}


def run_loop(name: str, folder: Path) -> None:
    """The child's side of one loop: get ready, say so, wait for the word, run, tell when it began and ended."""
    asked = json.loads((folder / "asked.json").read_text())
    loop = LOOPS[name](sample(asked["rows"]), asked["embed"])
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.time()
    loop()
    (folder / f"{name}.json").write_text(json.dumps([begin, time.time()]))


def contest(rows: int, embed: dict[str, Any]) -> dict[str, float]:
    """Seconds that each of the three took for `rows` rows."""
    with tempfile.TemporaryDirectory(prefix="spotproof-embedding-") as made:
        folder = Path(made)
        (folder / "asked.json").write_text(json.dumps({"rows": rows, "embed": embed}))
        pq.write_table(pa.table({"id": range(rows), "text": sample(rows)}), folder / "in.parquet")
        running = {name: _start_loop(name, folder) for name in LOOPS}
        running["spotproof"] = _start_job(folder, embed)
        turns = take_turns(running)
        failed = [name for name, process in running.items() if process.returncode != 0]
        if failed:
            raise SystemExit(f"{', '.join(failed)} failed")
        spans = {name: json.loads((folder / f"{name}.json").read_text()) for name in LOOPS}
        spans["spotproof"] = [
            _events(folder, "worker.ready")[0]["at"],
            max(event["at"] for event in _events(folder, "part.committed")),
        ]
        return {name: active_seconds(turns[name], *spans[name]) for name in spans}


def _start_loop(name: str, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.embedding", "--loop", name, "--folder", str(folder)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin is not None and process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise SystemExit(f"the loop {name} did not start")
    process.send_signal(signal.SIGSTOP)  # so that the word below is not acted upon before its turn
    process.stdin.write("go\n")
    process.stdin.flush()
    return process


def _start_job(folder: Path, embed: dict[str, Any]) -> "subprocess.Popen[str]":
    """`spotproof run`, at the moment when its worker has the model."""
    job = {
        "name": "embedding", "root": str(folder / "root"), "workers": 1,
        "input": {"path": str(folder / "in.parquet"), "carry": ["id"]},
        "embed": {"model": MODEL, "text_column": "text", **embed},
    }  # fmt: skip
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    command = [sys.executable, "-m", "spotproof", "run", str(folder / "job.yaml")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True, start_new_session=True)
    while process.poll() is None and not _events(folder, "worker.ready"):
        time.sleep(0.02)
    return process


def _events(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = [line for path in folder.glob("root/events/*/*/*.jsonl") for line in path.read_text().splitlines()]
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def measure(rows: int, repeat: int, embed: dict[str, Any]) -> dict[str, Any]:
    """Rows a second of each and the medians of the ratios, over `repeat` contests."""
    seconds = [contest(rows, embed) for _ in range(repeat)]
    to_bare = [each["bare"] / each["spotproof"] for each in seconds]
    to_encode = [each["encode"] / each["spotproof"] for each in seconds]
    return {
        "rows": rows, "seconds": seconds,
        "rows_per_second": {name: rows / statistics.median(each[name] for each in seconds) for name in seconds[0]},
        "of_bare": statistics.median(to_bare), "of_encode": statistics.median(to_encode),
        "each_of_bare": to_bare, "each_of_encode": to_encode, "load_average": os.getloadavg()[0],
    }  # fmt: skip


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.embedding", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch-tokens", type=int, default=None)
    parser.add_argument("--batch-rows", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--loop", choices=sorted(LOOPS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.loop:
        run_loop(args.loop, args.folder)
        return 0
    result = measure(args.rows, args.repeat, {"batch_tokens": args.batch_tokens, "batch_rows": args.batch_rows})
    if args.json:
        print(json.dumps(result))
    else:
        for name, speed in sorted(result["rows_per_second"].items()):
            print(f"{name:10} {speed:9,.1f} rows/s")
        for name, least in (("bare", LEAST_OF_BARE), ("encode", LEAST_OF_ENCODE)):
            each = " ".join(f"{ratio:.3f}" for ratio in result[f"each_of_{name}"])
            kept = "ok  " if result[f"of_{name}"] >= least else "MISS"
            print(f"{kept} spotproof run / {name:7} {result[f'of_{name}']:.3f}   (at least {least}; each: {each})")
    return 0 if result["of_bare"] >= LEAST_OF_BARE and result["of_encode"] >= LEAST_OF_ENCODE else 1


if __name__ == "__main__":
    sys.exit(main())
