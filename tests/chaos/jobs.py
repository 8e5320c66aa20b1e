"""Jobs to be killed: input, a `spotproof run` in a session of its own, and every way to take it down."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

REPOSITORY = Path(__file__).parents[2]
FINISHED, INTERRUPTED = 0, 75
RUN_SECONDS_MAX = 180


@dataclass
class Job:
    """A job file in `folder`; its root may be a folder or a URI. Runs are started and watched from here."""

    folder: Path
    root: str
    rows: int
    workers: int = 2
    settings: dict[str, object] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, files: int = 8) -> "Job":
        """Make the input and the job file."""
        (self.folder / "in").mkdir(parents=True)
        per_file = self.rows // files
        for number in range(files):
            last = self.rows if number == files - 1 else (number + 1) * per_file
            table = pa.table({"number": pa.array(range(number * per_file, last), pa.int64())})
            pq.write_table(table, self.folder / "in" / f"in-{number:03d}.parquet")
        settings = {
            "name": "chaos",
            "root": self.root,
            "input": {"path": str(self.folder / "in" / "*.parquet"), "carry": ["number"]},
            "function": "tests.chaos.work:compute",
            "workers": self.workers,
            "commit": {"seconds": 0.2, "rows": 1000},
            "errors": {"fraction": 0.1},
            "lease_seconds": 3,
            "grace_seconds": 10,
        }
        (self.folder / "job.yaml").write_text(yaml.safe_dump({**settings, **self.settings}))
        return self

    def start(self, **environment: str) -> "Run":
        """`spotproof run` in a new session."""
        log = (self.folder / "run.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "spotproof", "run", str(self.folder / "job.yaml")],
            cwd=REPOSITORY,
            env={**os.environ, **self.environment, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        return Run(process)

    def log(self) -> str:
        """The end of what all runs printed."""
        return (self.folder / "run.log").read_text()[-6000:]


@dataclass
class Run:
    """One `spotproof run` and its workers."""

    process: "subprocess.Popen[bytes]"

    def workers(self) -> list[psutil.Process]:
        """Its living worker processes."""
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []

    def wait_for_workers(self, count: int, seconds: float = 30) -> list[psutil.Process]:
        """Its workers, once there are so many."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if len(self.workers()) >= count:
                return self.workers()
            time.sleep(0.02)
        raise AssertionError("the workers did not start")

    def kill_all(self) -> None:
        """SIGKILL the parent and all workers at once, as a lost machine does."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()

    def finish(self, seconds: float = RUN_SECONDS_MAX) -> int:
        """Its exit status; killed if it takes longer."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None


def one_kill(run: Run, rng: random.Random) -> str:
    """Take something down, chosen by `rng`; says what."""
    workers = run.workers()
    kind = rng.choices(["worker-kill", "worker-term", "parent-term", "parent-kill", "all-kill"], [5, 2, 1.5, 1, 1.5])[0]
    if kind.startswith("worker"):
        if not workers:
            return "nobody"
        number = signal.SIGKILL if kind == "worker-kill" else signal.SIGTERM
        try:
            rng.choice(workers).send_signal(number)
        except psutil.NoSuchProcess:
            return "nobody"
        return kind
    if kind == "parent-term":
        run.process.send_signal(signal.SIGTERM)
        # -SIGTERM: so early that nothing had begun.
        assert run.finish() in (INTERRUPTED, FINISHED, -signal.SIGTERM)
    elif kind == "parent-kill":
        run.process.kill()
        run.process.wait()
        _, alive = psutil.wait_procs(workers, timeout=15)
        assert not alive, f"orphans: {alive}"
    else:
        run.kill_all()
        kind = "all-kill"
    return kind
