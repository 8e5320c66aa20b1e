"""Rows that raise, segfault or are killed, in real worker processes: that row is refused, every other row stands."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import yaml

ROWS = 4_000
BAD = 1_717

FUNCTIONS = {
    "raise": "raise ValueError('seventeen')",
    "segfault": "os.kill(os.getpid(), signal.SIGSEGV)",
    "killed for memory": "os.kill(os.getpid(), signal.SIGKILL)",
    "exits": "os._exit(3)",
}
SOURCE = """
import os, signal
import spotproof as sp

@sp.batch_function(batch_rows=100)
def work(batch):
    if (batch["n"] == {bad}).any():
        {harm}
    return {{"doubled": batch["n"] * 2}}
"""


def spotproof(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "spotproof", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=90,
    )


def make_job(folder: Path, source: str, **settings: object) -> None:
    (folder / "work.py").write_text(source)
    pq.write_table(pa.table({"n": range(ROWS)}), folder / "in.parquet")
    job = {
        "root": str(folder / "root"),
        "input": {"path": str(folder / "in.parquet"), "carry": ["n"]},
        "function": "work:work",
        "workers": 2,
        "commit": {"seconds": 0.2, "rows": 500},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(job | settings))


def rows_of(root: Path) -> list[int]:
    return sorted(pa.dataset.dataset(str(root / "parts")).to_table(columns=["n"])["n"].to_pylist())


@pytest.mark.parametrize("harm", list(FUNCTIONS))
def test_that_row_is_refused_and_every_other_stands(tmp_path: Path, harm: str) -> None:
    make_job(tmp_path, SOURCE.format(bad=BAD, harm=FUNCTIONS[harm]))
    run = spotproof(tmp_path, "run", "job.yaml")
    assert run.returncode == 0, run.stderr
    assert rows_of(tmp_path / "root") == [n for n in range(ROWS) if n != BAD]
    found = json.loads(spotproof(tmp_path, "verify", "root", "--json").stdout)
    told = {"ok": True, "rows_in": ROWS, "rows_done": ROWS, "rows_failed": 1, "rows_missing": 0, "rows_twice": 0}
    assert told.items() <= found.items()
    assert found["rows_out"] == ROWS - 1
    failed = spotproof(tmp_path, "failed", "root")
    assert ("seventeen" if harm == "raise" else "the process died") in failed.stdout


def test_after_a_mend_the_refused_row_is_computed_and_the_output_is_whole(tmp_path: Path) -> None:
    make_job(tmp_path, SOURCE.format(bad=BAD, harm="raise ValueError('seventeen')"))
    assert spotproof(tmp_path, "run", "job.yaml").returncode == 0
    (tmp_path / "work.py").write_text(SOURCE.format(bad=-1, harm="pass"))
    retried = spotproof(tmp_path, "failed", "root", "--retry")
    assert retried.returncode == 0, retried.stderr
    whole = pa.dataset.dataset([str(path) for path in sorted((tmp_path / "root").glob("[pr]*/*/*.parquet"))])
    assert sorted(whole.to_table()["doubled"].to_pylist()) == [2 * n for n in range(ROWS)]
    assert json.loads(spotproof(tmp_path, "verify", "root", "--json").stdout)["rows_failed"] == 0


def test_too_many_refused_rows_stop_the_job_and_say_why(tmp_path: Path) -> None:
    make_job(tmp_path, SOURCE.format(bad=BAD, harm="pass").replace("return", "raise ValueError('all of them') #"))
    run = spotproof(tmp_path, "run", "job.yaml")
    assert run.returncode == 1
    assert "all of them" in run.stderr


def test_a_function_that_cannot_be_built_ends_the_run_with_its_traceback(tmp_path: Path) -> None:
    source = "class work:\n    def __init__(self):\n        raise RuntimeError('no weights')\n    __call__ = None\n"
    make_job(tmp_path, source)
    run = spotproof(tmp_path, "run", "job.yaml")
    assert run.returncode == 1
    assert "no weights" in run.stderr


def test_a_worker_that_dies_while_it_loads_ends_the_run(tmp_path: Path) -> None:
    make_job(tmp_path, "import os\nif 'SPOTPROOF_WORKER' in os.environ:\n    os._exit(9)\ndef work(batch): ...\n")
    run = spotproof(tmp_path, "run", "job.yaml")
    assert run.returncode == 1
    assert "cannot be loaded" in run.stderr or "no row in hand" in run.stderr


def test_a_function_that_prints_without_end_does_not_hang(tmp_path: Path) -> None:
    make_job(tmp_path, SOURCE.format(bad=-1, harm="pass").replace("return", "print('x' * 100_000); return"))
    assert spotproof(tmp_path, "run", "job.yaml").returncode == 0
    assert rows_of(tmp_path / "root") == list(range(ROWS))


def test_the_function_knows_its_job_and_attempt(tmp_path: Path) -> None:
    source = SOURCE.format(bad=-1, harm="pass").replace(
        "return {", 'return {"job": [os.environ["SPOTPROOF_JOB_ID"]] * len(batch["n"]), '
        '"attempt": [int(os.environ["SPOTPROOF_ATTEMPT"])] * len(batch["n"]), '
    )  # fmt: skip
    make_job(tmp_path, source)
    assert spotproof(tmp_path, "run", "job.yaml").returncode == 0
    table = pa.dataset.dataset(str(tmp_path / "root" / "parts")).to_table()
    record = json.loads((tmp_path / "root" / "job.json").read_text())
    assert set(table["job"].to_pylist()) == {record["job_id"]}
    assert set(table["attempt"].to_pylist()) == {1}


def test_changed_input_is_refused_with_the_difference(tmp_path: Path) -> None:
    make_job(tmp_path, SOURCE.format(bad=-1, harm="pass"))
    assert spotproof(tmp_path, "run", "job.yaml").returncode == 0
    pq.write_table(pa.table({"n": range(ROWS + 1)}), tmp_path / "in.parquet")
    run = spotproof(tmp_path, "run", "job.yaml")
    assert run.returncode == 4
    assert "input file changed" in run.stderr
    assert "in.parquet" in run.stderr


def test_sigterm_leaves_with_75_and_the_same_command_ends_the_job(tmp_path: Path) -> None:
    source = SOURCE.format(bad=-1, harm="pass").replace("return", "import time; time.sleep(0.1); return")
    make_job(tmp_path, source)
    process = subprocess.Popen([sys.executable, "-m", "spotproof", "run", "job.yaml"], cwd=tmp_path)
    while not list((tmp_path / "root").glob("parts/*/*.parquet")):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 75
    assert spotproof(tmp_path, "run", "job.yaml").returncode == 0
    assert rows_of(tmp_path / "root") == list(range(ROWS))
    status = json.loads(spotproof(tmp_path, "status", "root", "--json").stdout)
    assert (status["state"], status["rows_total"], status["rows_done"]) == ("SUCCEEDED", ROWS, ROWS)
    events = [json.loads(line) for path in (tmp_path / "root").glob("events/*/*/*.jsonl") for line in path.open()]
    assert sum(event["rows_repeated"] for event in events if event["kind"] == "part.committed") == 0


def test_from_python_with_an_async_function(tmp_path: Path) -> None:
    script = """
import asyncio
import numpy as np
import spotproof as sp

@sp.batch_function(batch_rows=50)
async def work(batch):
    await asyncio.sleep(0.001)
    origin = np.repeat(np.arange(len(batch["n"])), batch["n"] % 3)
    return {"m": batch["n"][origin] * 10, "origin": origin}

if __name__ == "__main__":
    result = sp.run(sp.Job(root="root", input=sp.Input("in.parquet", carry=["n"]), function=work, workers=2))
    table = result.dataset().to_table()
    print(result.rows, result.failed, table.num_rows, table.column_names)
"""
    make_job(tmp_path, "")
    (tmp_path / "script.py").write_text(script)
    run = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[0] == f"{ROWS} 0 {sum(n % 3 for n in range(ROWS))} ['n', 'm']"
