"""Ten million rows through a trivial function on a local root: rows a second, memory, status, resume.

    python -m benchmarks.throughput [--rows 10000000] [--workers 1] [--folder DIR]

Prints one line a promise and fails if one is not kept.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

import spotproof as sp

ROWS_PER_FILE = 1_000_000
RATE_MIN = 200_000
STATUS_SECONDS_MAX = 1.0
BATCH_ROWS = 16_384


@sp.batch_function(batch_rows=BATCH_ROWS)
def double(batch):
    return {"doubled": batch["number"] * 2}


@sp.batch_function(batch_rows=500)
def double_in_small_batches(batch):
    return double(batch)


def make_input(folder: Path, rows: int) -> None:
    folder.mkdir(parents=True)
    for start in range(0, rows, ROWS_PER_FILE):
        numbers = np.arange(start, min(start + ROWS_PER_FILE, rows))
        pq.write_table(pa.table({"number": numbers}), folder / f"in-{start // ROWS_PER_FILE:03d}.parquet")


def run_job(folder: Path, root: Path, workers: int, commit_rows: int) -> None:
    job = sp.Job(
        name="throughput",
        root=str(root),
        input=sp.Input(str(folder / "*.parquet"), carry=["number"]),
        # A part is at least one batch: ten thousand parts of ten million rows want small ones.
        function=double if commit_rows >= BATCH_ROWS else double_in_small_batches,
        workers=workers,
        commit=sp.Commit(rows=commit_rows),
    )
    sp.run(job, progress=False)


def start(folder: Path, root: Path, workers: int, commit_rows: int) -> "subprocess.Popen[bytes]":
    arguments = [str(folder), str(root), str(workers), str(commit_rows)]
    return subprocess.Popen([sys.executable, __file__, "--job", *arguments], start_new_session=True)


class Memory:
    """The most that one worker process held, in bytes, sampled while it lives."""

    def __init__(self, parent: "subprocess.Popen[bytes]") -> None:
        self.most = 0
        self._parent = parent
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        while self._parent.poll() is None:
            try:
                for worker in psutil.Process(self._parent.pid).children():
                    self.most = max(self.most, worker.memory_info().rss)
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.05)


def events(root: Path, kind: str) -> list[dict]:
    lines = [line for path in root.glob("events/*/*/*.jsonl") for line in path.read_text().splitlines()]
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def measure(folder: Path, root: Path, rows: int, workers: int) -> tuple[float, int]:
    """(rows a second of one worker, from its readiness to the last commit; bytes of memory at most)."""
    parent = start(folder, root, workers, 50_000)
    memory = Memory(parent)
    if parent.wait() != 0:
        raise SystemExit("the job failed")
    ready = min(event["at"] for event in events(root, "worker.ready"))
    last = max(event["at"] for event in events(root, "part.committed"))
    return rows / (last - ready) / workers, memory.most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="spotproof-throughput-"))
    try:
        sys.exit(0 if report(folder, arguments.rows, arguments.workers) else 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(folder: Path, rows: int, workers: int) -> bool:
    kept: list[bool] = []

    def hold(what: str, measured: str, is_kept: bool) -> None:
        kept.append(is_kept)
        print(f"{'ok  ' if is_kept else 'MISS'} {what}: {measured}", flush=True)

    make_input(folder / "small", rows // 10)
    make_input(folder / "large", rows)
    _, small_memory = measure(folder / "small", folder / "root-small", rows // 10, workers)
    rate, memory = measure(folder / "large", folder / "root-large", rows, workers)
    hold(f"{RATE_MIN:,} rows/s a worker", f"{rate:,.0f} rows/s over {rows:,} rows", rate >= RATE_MIN)
    growth = memory / small_memory - 1
    megabytes = f"{small_memory / 2**20:.0f} MiB at {rows // 10:,} rows, {memory / 2**20:.0f} MiB at {rows:,}"
    hold("memory flat within 10%", f"{growth:+.1%} ({megabytes})", growth <= 0.10)
    hold_status(folder, rows, workers, hold)
    return all(kept)


def hold_status(folder: Path, rows: int, workers: int, hold) -> None:
    """Ten thousand parts, a kill in the middle of them, a resume, and `status` at the end."""
    root = folder / "root-parts"
    commit_rows = rows // 10_000
    parent = start(folder / "large", root, workers, commit_rows)
    while len(list(root.glob("parts/*/*.parquet"))) < 2_000 and parent.poll() is None:
        time.sleep(0.2)
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    covered = {path.parent.name: 0 for path in root.glob("parts/*/*.parquet")}
    for path in root.glob("parts/*/*.parquet"):
        stop = json.loads(pq.read_metadata(path).metadata[b"spotproof"])["stop"]
        covered[path.parent.name] = max(covered[path.parent.name], stop)
    if start(folder / "large", root, workers, commit_rows).wait() != 0:
        raise SystemExit("the resumed job failed")
    resumed = [event for event in events(root, "shard.leased") if event["attempt"] == 2]
    below = [e for e in resumed if e["position"] < covered.get(f"{e['shard']:05d}", 0)]
    hold("a resume reads no row again that a part covers", f"{len(below)} of {len(resumed)} shards", not below)
    parts = len(list(root.glob("parts/*/*.parquet")))
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "spotproof", "status", str(root), "--json"], check=True, capture_output=True)
    seconds = time.monotonic() - began
    hold(
        f"status within {STATUS_SECONDS_MAX} s", f"{seconds:.2f} s with {parts:,} parts", seconds <= STATUS_SECONDS_MAX
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        run_job(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
