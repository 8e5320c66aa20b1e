"""Death at the exact spot: while computing, encoding, creating, syncing, linking, uploading."""

import collections
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import yaml

from tests.chaos import checker
from tests.chaos.jobs import FINISHED, Job
from tests.chaos.test_kills import s3_files
from tests.servers import S3Server

DEATHS = 6
LOCAL_POINTS = ["compute", "encode", "encode-after", "refusals-after", "create-after", "fsync", "fsync-after", "link",
                "link-after"]  # fmt: skip
S3_POINTS = ["upload", "upload-after", "create", "encode-after"]


def environment(tmp_path: Path, point: str, seed: int) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "killpoints"), os.environ.get("PYTHONPATH", "")]),
        "KILL_POINT": point,
        "KILL_BUDGET": str(tmp_path / "deaths"),
        "KILL_DEATHS": str(DEATHS),
        "KILL_SEED": str(seed),
    }


def deaths(tmp_path: Path) -> int:
    budget = tmp_path / "deaths"
    return budget.stat().st_size if budget.exists() else 0


@pytest.mark.parametrize("point", LOCAL_POINTS)
def test_a_local_root(tmp_path: Path, seed: int, point: str) -> None:
    root = tmp_path / "root"
    job = Job(tmp_path, str(root), rows=24_000, environment=environment(tmp_path, point, seed)).write()
    code = job.start().finish()
    found = checker.check(checker.local_files(root), range(job.rows))
    assert code == FINISHED, f"seed {seed}: {job.log()}"
    assert found.exact, f"seed {seed}: {found}"
    assert deaths(tmp_path) >= 2, "the trap was not met"


@pytest.mark.parametrize("point", S3_POINTS)
def test_an_s3_root(tmp_path: Path, s3: S3Server, seed: int, point: str) -> None:
    root = f"s3://{s3.bucket()}/jobs/points"
    job = Job(tmp_path, root, rows=24_000, environment=environment(tmp_path, point, seed) | s3.environment()).write()
    code = job.start().finish()
    found = checker.check(s3_files(s3, root), range(job.rows))
    assert code == FINISHED, f"seed {seed}: {job.log()}"
    assert found.exact, f"seed {seed}: {found}"
    assert deaths(tmp_path) >= 2, "the trap was not met"


@pytest.mark.parametrize("point", ["tokenise", "tokenise-after"])
def test_texts_while_they_are_tokenised(tmp_path: Path, seed: int, point: str) -> None:
    rows, root = 160, tmp_path / "root"
    job = Job(tmp_path, str(root), rows, environment=environment(tmp_path, point, seed) | {"KILL_DEATHS": "3"})
    texts = [f"text {number} " + "word " * (number % 50) for number in range(rows)]
    pq.write_table(pa.table({"id": range(rows), "text": texts}), tmp_path / "in.parquet")
    settings = {
        "root": str(root),
        "input": {"path": str(tmp_path / "in.parquet"), "carry": ["id"]},
        "embed": {"model": "all-MiniLM-L6-v2", "batch_rows": 16},
        "workers": 1,
        "commit": {"rows": 16},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    code = job.start().finish()
    assert code == FINISHED, f"seed {seed}: {job.log()}"
    table = pa.dataset.dataset(str(root / "parts")).to_table()
    assert collections.Counter(table["id"].to_pylist()) == collections.Counter(range(rows))
    assert table["embedding"].null_count == 0
    assert deaths(tmp_path) >= 2, "the trap was not met"
