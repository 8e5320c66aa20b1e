"""What each worker is given of the machine."""

import os

import pytest

from spotproof.batch.job import Embed, Input, Job
from spotproof.core.events import WorkerLost
from spotproof.engines.local import sizing
from spotproof.engines.local.display import _in_words

JOB = Job(name="n", root="/tmp/r", input=Input("/tmp/*.parquet"), embed=Embed("m"))
LIBRARIES = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "core_count", lambda: 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for name in LIBRARIES:
        monkeypatch.delenv(name, raising=False)


def test_workers_share_the_cores() -> None:
    assert sizing.threads_per_worker(2) == 4
    assert sizing.threads_per_worker(100) == 1
    given = sizing.worker_environment(JOB, 0, 2)
    assert {given[name] for name in LIBRARIES} == {"4"}


def test_one_worker_on_a_whole_machine_is_left_to_its_libraries() -> None:
    assert sizing.threads_per_worker(1) is None
    assert not LIBRARIES & sizing.worker_environment(JOB, 0, 1).keys()


def test_one_worker_on_a_share_of_a_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert sizing.threads_per_worker(1) == 8


def test_what_the_user_set_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in sizing.worker_environment(JOB, 0, 2)


def test_a_lost_worker_is_called_by_its_name() -> None:
    lost = WorkerLost("w1-abc", signal=9, exit_code=0, ranges=[])
    assert _in_words("parent", lost) == "worker w1-abc is gone (killed by signal 9); another takes its place"
