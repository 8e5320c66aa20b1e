"""A signal at any moment of the start: the run leaves at once, with no worker left behind and nothing in the way."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.chaos import checker
from tests.chaos.jobs import FINISHED, INTERRUPTED, Job


@pytest.mark.parametrize("round_number", range(3))
def test_a_signal_while_the_run_prepares(tmp_path: Path, round_number: int) -> None:
    root = tmp_path / "root"
    job = Job(tmp_path, str(root), rows=4_000).write()
    for step in range(8):
        run = job.start()
        time.sleep(0.15 + 0.1 * step + 0.03 * round_number)
        workers = run.workers()
        run.process.send_signal(signal.SIGTERM)
        assert run.finish(15) in (INTERRUPTED, FINISHED, -signal.SIGTERM), job.log()
        _, alive = psutil.wait_procs(workers, timeout=5)
        assert not alive
    assert job.start().finish(60) == FINISHED, job.log()
    assert checker.check(checker.local_files(root), range(job.rows)).exact
