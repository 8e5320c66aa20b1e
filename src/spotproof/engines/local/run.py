"""Run a job on this machine: the one entry of this engine, for the command line and for Python alike."""

import os
from contextlib import AbstractContextManager, nullcontext

from spotproof.batch.fingerprint import fingerprint
from spotproof.batch.finish import Totals, read_success
from spotproof.batch.inputs.discover import find_files
from spotproof.batch.job import Job
from spotproof.batch.record import check_same_job, read_record
from spotproof.batch.result import Result
from spotproof.core.clock import Clock, SystemClock
from spotproof.core.errors import ConfigError
from spotproof.engines.local.display import display_for
from spotproof.engines.local.parent import Parent
from spotproof.engines.local.progress import Progress, Silent
from spotproof.engines.local.sizing import worker_count
from spotproof.storage.store import Store
from spotproof.storage.uri import open_store


def run(job: Job, progress: Progress | bool = True, clock: Clock | None = None) -> Result:
    """Run the job to its end, or resume it; a finished job is only checked to be the same.

    `progress` True shows it on standard error: a bar on a terminal, plain lines elsewhere.
    Raises `Interrupted` when told to leave (SIGTERM, SIGINT, SIGHUP), `JobChanged` where the root holds another job,
    and otherwise what core/errors.py lists.
    """
    if "SPOTPROOF_WORKER" in os.environ:
        raise ConfigError(
            "run() was called inside a worker process, which imports your script: put the call under "
            '`if __name__ == "__main__":`'
        )
    clock = clock or SystemClock()
    store = open_store(job.root)
    totals = _finished_before(store, job)
    if totals is None:
        with _shown(progress, clock) as told:
            totals = Parent(store, job, worker_count(job), clock, told).run()
    return Result.of(store, totals)


def _shown(progress: Progress | bool, clock: Clock) -> AbstractContextManager[Progress]:
    if isinstance(progress, bool):
        return display_for(None, clock) if progress else nullcontext(Silent())
    return nullcontext(progress)


def _finished_before(store: Store, job: Job) -> Totals | None:
    totals = read_success(store)
    if totals is not None:
        check_same_job(store, read_record(store), fingerprint(job, find_files(job.input)))
    return totals
