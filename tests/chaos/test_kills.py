"""Random SIGKILLs and SIGTERMs at everything, over one run: each input row comes out exactly as often as it must."""

import collections
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import checker
from tests.chaos.jobs import FINISHED, REPOSITORY, Job, one_kill
from tests.servers import S3Server

# Two workers compute 10,000 rows a second, and a kill comes each 0.4 s or so: the job must outlast its kills.
ROWS_PER_KILL = 4000


def s3_files(server: S3Server, root: str) -> dict[str, bytes]:
    """Every object below `root`, read by another library than ours."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    client = server.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    return {key.removeprefix(f"{prefix}/"): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def take_down_often(job: Job, files: Callable[[], dict[str, bytes]], kills: int, seed: int) -> None:
    rng = random.Random(seed)
    done: collections.Counter[str] = collections.Counter()
    run = job.start()
    while sum(done.values()) < kills:
        time.sleep(rng.uniform(0.05, 0.8))
        if run.ended:
            if run.process.returncode == FINISHED:
                break
            run = job.start()
            continue
        what = one_kill(run, rng)
        done[what] += what != "nobody"
        if what.endswith("kill") and sum(done.values()) % 5 == 0:
            assert not checker.torn_now(files())
    if run.ended:
        run = job.start()
    code = run.finish()
    found = checker.check(files(), range(job.rows))
    print(f"seed {seed}: {sum(done.values())} kills {dict(done)}; {job.rows} rows, {found.refused} refused")
    assert code == FINISHED, f"seed {seed}: {job.log()}"
    assert found.exact, f"seed {seed}: {found}"
    assert sum(done.values()) >= kills * 0.8, "the job was over before it was killed often enough"
    command = [sys.executable, "-m", "spotproof", "verify", job.root]
    environment = {**os.environ, **job.environment}
    verify = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert verify.returncode == 0, verify.stdout


@pytest.mark.parametrize("coordination", ["auto", "none"])
def test_a_local_root(tmp_path: Path, kills: int, seed: int, coordination: str) -> None:
    root = tmp_path / "root"
    job = Job(tmp_path, str(root), rows=ROWS_PER_KILL * kills, settings={"coordination": coordination}).write()
    take_down_often(job, lambda: checker.local_files(root), kills, seed)


@pytest.mark.parametrize("coordination", ["auto", "none"])
def test_an_s3_root(tmp_path: Path, s3: S3Server, kills: int, seed: int, coordination: str) -> None:
    root = f"s3://{s3.bucket()}/jobs/chaos"
    settings: dict[str, object] = {"coordination": coordination}
    job = Job(tmp_path, root, rows=ROWS_PER_KILL * kills, settings=settings, environment=s3.environment()).write()
    take_down_often(job, lambda: s3_files(s3, root), kills, seed)
