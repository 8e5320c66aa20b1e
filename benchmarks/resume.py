"""How soon a resume computes: `spotproof run` of a half-done job against importing and loading the model alone.

    python -m benchmarks.resume [--repeat R]

(a) a process that imports sentence-transformers and loads the model; (b) `spotproof run` on a root that holds parts
already, from process start to its first new part of 32 rows being durable. They alternate.
Exits 1 when the median of b is more than 1.15 times that of a.
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
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.embedding import MODEL, sample
from spotproof.batch.embedding.model_files import find_model

MOST_OF_LOAD = 1.15
BATCH_ROWS = 32
LOAD = "from sentence_transformers import SentenceTransformer as Model; Model({folder!r}, device='cpu')"


def load_seconds() -> float:
    """(a)"""
    begin = time.monotonic()
    command = [sys.executable, "-c", LOAD.format(folder=str(find_model(MODEL)))]
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - begin


def write_job(folder: Path, rows: int) -> Path:
    pq.write_table(pa.table({"id": range(rows), "text": sample(rows)}), folder / "in.parquet")
    job = {
        "name": "resume", "root": str(folder / "root"), "workers": 1,
        "input": {"path": str(folder / "in.parquet"), "carry": ["id"]},
        "embed": {"model": MODEL, "text_column": "text", "batch_rows": BATCH_ROWS, "device": "cpu"},
        "commit": {"rows": BATCH_ROWS},
    }  # fmt: skip
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    return folder / "job.yaml"


def first_part_seconds(job: Path) -> float:
    """(b); then everything is killed."""
    root = job.parent / "root"
    before = set(root.glob("parts/*/*.parquet"))
    begin = time.monotonic()
    command = [sys.executable, "-m", "spotproof", "run", str(job)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while not set(root.glob("parts/*/*.parquet")) - before:
            if process.poll() is not None:
                raise SystemExit("the job ended before it gave a part")
            time.sleep(0.005)
        return time.monotonic() - begin
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.resume", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spotproof-resume-") as made:
        job = write_job(Path(made), BATCH_ROWS * 100)
        load_seconds()  # files into the page cache
        first_part_seconds(job)
        pairs = [(load_seconds(), first_part_seconds(job)) for _ in range(args.repeat)]
    load, first = (statistics.median(each) for each in zip(*pairs, strict=True))
    kept = first <= MOST_OF_LOAD * load
    if args.json:
        print(json.dumps({"load_seconds": load, "first_part_seconds": first, "pairs": pairs}))
    else:
        each = " ".join(f"{first / load:.2f}" for load, first in pairs)
        print(
            f"{'ok  ' if kept else 'MISS'} resume to first new part within {MOST_OF_LOAD} x load: {first / load:.2f} "
            f"({first:.2f} s to {load:.2f} s; each: {each})"
        )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
