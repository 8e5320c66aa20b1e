"""What an interruption costs: notices and SIGKILLs at workers that compute all the time, on a local root and on S3.

    python -m benchmarks.interruptions [--notices N] [--kills K]

Two workers, batches of 0.1 s, a commit every 2 s. Each worker writes down which rows it computed; a row that two
processes computed was computed again. Exits 1 when notice to last commit durable takes more than 2 s plus a batch
(p99), when a notice costs a row, or a SIGKILL more than `commit.seconds` of work.
"""

import argparse
import collections
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from tests.servers import seaweed_server

import spotproof as sp

BATCH_ROWS = 100
BATCH_SECONDS = 0.1
COMMIT_SECONDS = 2.0
NOTICE_SECONDS_MAX = 2.0
ROWS_PER_INTERRUPTION = 6_000
SEED = 1


@sp.batch_function(batch_rows=BATCH_ROWS)
def compute(batch):
    """Takes its time, until `hurry` is there; says what it has computed only after it has."""
    folder = Path(os.environ["INTERRUPTIONS_FOLDER"])
    if not (folder / "hurry").exists():
        time.sleep(BATCH_SECONDS)
    with (folder / f"computed-{os.getpid()}").open("a") as log:
        log.write(f"{batch['number'][0]} {batch['number'][-1]}\n")
    return {"square": batch["number"] ** 2}


def interrupt(folder: Path, root: str, environment: dict[str, str], count: int, number: signal.Signals) -> None:
    """Run a job of `folder` to its end; on the way, `count` signals to random workers that are at work."""
    rows = ROWS_PER_INTERRUPTION * count
    pq.write_table(pa.table({"number": range(rows)}), folder / "in.parquet")
    job = {
        "name": "interruptions", "root": root, "workers": 2, "function": "benchmarks.interruptions:compute",
        "input": {"path": str(folder / "in.parquet"), "carry": ["number"], "shard_bytes": 200_000},
        "commit": {"seconds": COMMIT_SECONDS}, "errors": {"fraction": 0.5},
    }  # fmt: skip
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    rng = random.Random(SEED)
    command = [sys.executable, "-m", "spotproof", "run", str(folder / "job.yaml")]
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment, "INTERRUPTIONS_FOLDER": str(folder)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        signalled: set[int] = set()
        for _ in range(count):
            worker = _at_work(process, folder, signalled, rng)
            time.sleep(rng.uniform(0, COMMIT_SECONDS))
            worker.send_signal(number)
            signalled.add(worker.pid)
        (folder / "hurry").touch()
        if process.wait(300) != 0:
            raise SystemExit(f"the job ended with {process.returncode}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _at_work(
    process: "subprocess.Popen[bytes]", folder: Path, signalled: set[int], rng: random.Random
) -> psutil.Process:
    """A random worker that has computed something and is not leaving yet."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        workers = [w for w in psutil.Process(process.pid).children() if (folder / f"computed-{w.pid}").exists()]
        alive = [worker for worker in workers if worker.pid not in signalled]
        if alive:
            return rng.choice(alive)
        time.sleep(0.02)
    raise SystemExit("no worker is at work; the job ended too early or does not start")


def computed_again(folder: Path) -> dict[str, int]:
    """For each process, the rows of its that another one computed after it."""
    logs = sorted(folder.glob("computed-*"), key=lambda log: log.stat().st_mtime)
    last: dict[int, str] = {}
    again: collections.Counter[str] = collections.Counter()
    for log in logs:
        for line in log.read_text().splitlines():
            first, final = map(int, line.split())
            for row in range(first, final + 1):
                if last.get(row, log.name) != log.name:
                    again[last[row]] += 1
                last[row] = log.name
    return dict(again)


def events(store_files: list[bytes], kind: str) -> list[dict[str, Any]]:
    lines = [line for body in store_files for line in body.splitlines()]
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def hold(what: str, measured: str, kept: bool) -> bool:
    print(f"{'ok  ' if kept else 'MISS'} {what}: {measured}", flush=True)
    return kept


def report(where: str, made: Path, notices: int, kills: int) -> bool:
    """One kind of root: notices, then kills."""
    (made / "server").mkdir()
    with seaweed_server(made / "server") if where == "S3" else nullcontext() as server:
        kept: list[bool] = []
        for count, number in ((notices, signal.SIGTERM), (kills, signal.SIGKILL)):
            folder = made / number.name
            folder.mkdir()
            root = f"s3://{server.bucket()}/root" if server else str(folder / "root")
            interrupt(folder, root, server.environment() if server else {}, count, number)
            again = computed_again(folder)
            if number is signal.SIGTERM:
                seconds = sorted(each["seconds"] for each in events(_event_files(root, server), "notice.handled"))
                kept += [_hold_notices(where, seconds, count), _hold_rows(where, again, count)]
            else:
                kept.append(_hold_kills(where, again, count))
        return all(kept)


def _event_files(root: str, server: Any) -> list[bytes]:
    if server is None:
        return [path.read_bytes() for path in Path(root).glob("events/*/*/*.jsonl")]
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    client = server.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/events/")
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    return [client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]


def _hold_notices(where: str, seconds: list[float], count: int) -> bool:
    if len(seconds) < count * 0.95:
        return hold(f"{where}: notices handled", f"{len(seconds)} of {count}", False)
    p99 = seconds[min(len(seconds) - 1, round(0.99 * len(seconds)))]
    most = NOTICE_SECONDS_MAX + BATCH_SECONDS
    told = f"p99 {p99:.2f} s, median {statistics.median(seconds):.2f} s, {len(seconds)} notices"
    return hold(f"{where}: notice to last commit durable within {most:.1f} s", told, p99 <= most)


def _hold_rows(where: str, again: dict[str, int], count: int) -> bool:
    return hold(f"{where}: a notice costs no row", f"{sum(again.values())} computed again over {count}", not again)


def _hold_kills(where: str, again: dict[str, int], count: int) -> bool:
    seconds = {name: rows / BATCH_ROWS * BATCH_SECONDS for name, rows in again.items()}
    most = max(seconds.values(), default=0.0)
    told = f"{most:.1f} s at most, {sum(seconds.values()) / count:.1f} s on average, {count} kills"
    limit = COMMIT_SECONDS + 2 * BATCH_SECONDS  # the batch that is computed while the part is being stored
    return hold(f"{where}: a SIGKILL costs at most commit.seconds of work", told, most <= limit)


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interruptions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--notices", type=int, default=100)
    parser.add_argument("--kills", type=int, default=30)
    args = parser.parse_args()
    kept: list[bool] = []
    for where in ("local", "S3"):
        with tempfile.TemporaryDirectory(prefix="spotproof-interruptions-") as made:
            kept.append(report(where, Path(made), args.notices, args.kills))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
