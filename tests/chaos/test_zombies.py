"""A worker that is stopped, replaced, and continued; two parents on one root; workers without a parent."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.chaos import checker
from tests.chaos.jobs import FINISHED, INTERRUPTED, Job


def wait_for_parts(root: Path, count: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if len(list(root.glob("parts/*/*.parquet"))) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("no parts came")


@pytest.mark.parametrize("coordination", ["auto", "none"])
def test_a_stopped_worker_is_replaced_and_then_continues(tmp_path: Path, coordination: str) -> None:
    root = tmp_path / "root"
    job = Job(tmp_path, str(root), rows=16_000, workers=1, settings={"coordination": coordination}).write()
    first = job.start()
    zombie = first.wait_for_workers(1)[0]
    wait_for_parts(root, 3)
    zombie.suspend()
    second = job.start()
    assert second.finish() == FINISHED, job.log()
    zombie.resume()
    assert first.finish() == FINISHED, job.log()
    found = checker.check(checker.local_files(root), range(job.rows))
    assert found.exact, found


@pytest.mark.parametrize("stagger_seconds", [0.0, 1.5])
def test_two_parents_share_the_work(tmp_path: Path, stagger_seconds: float) -> None:
    root = tmp_path / "root"
    job = Job(tmp_path, str(root), rows=24_000, workers=1).write()
    first = job.start()
    time.sleep(stagger_seconds)
    second = job.start()
    assert first.finish() == FINISHED, job.log()
    assert second.finish() == FINISHED, job.log()
    found = checker.check(checker.local_files(root), range(job.rows))
    assert found.exact, found


def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    root = tmp_path / "root"
    job = Job(tmp_path, str(root), rows=40_000).write()
    run = job.start()
    workers = run.wait_for_workers(2)
    wait_for_parts(root, 2)
    run.process.kill()
    run.process.wait()
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive
    assert job.start().finish() == FINISHED
    assert checker.check(checker.local_files(root), range(job.rows)).exact


def test_a_notice_repeats_nothing_and_leaves_in_time(tmp_path: Path) -> None:
    root = tmp_path / "root"
    job = Job(tmp_path, str(root), rows=20_000).write()
    run = job.start()
    wait_for_parts(root, 4)
    sent = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    assert run.finish() == INTERRUPTED
    assert time.monotonic() - sent < 5
    assert job.start().finish() == FINISHED
    assert checker.check(checker.local_files(root), range(job.rows)).exact
