"""Before the first row: look at the input, test the store, and settle which job this root holds."""

from spotproof.batch.fingerprint import fingerprint
from spotproof.batch.function import FunctionReference, options_of
from spotproof.batch.inputs.discover import find_files
from spotproof.batch.inputs.plan import plan_shards
from spotproof.batch.job import Job
from spotproof.batch.record import JobRecord, Plan, new_record, read_record, settle_record
from spotproof.core.clock import Clock
from spotproof.core.errors import NotFound
from spotproof.storage.selftest import check_store
from spotproof.storage.store import Store


def prepare(store: Store, job: Job, clock: Clock) -> JobRecord:
    """The record of the job in `store`, new or resumed.

    Raises `InputError`, `JobChanged` (another job, or changed input), `UnsafeStore`, `ConfigError`.
    """
    check_store(store)
    files = find_files(job.input)
    try:
        plan = read_record(store).plan
    except NotFound:
        planned, shards, schema = plan_shards(job.input, files, wanted_columns(job), _batch_rows(job))
        plan = Plan(tuple(planned), tuple(shards), schema)
    mine = new_record(job.name, fingerprint(job, files), job.portable(), plan, clock)
    return settle_record(store, mine, clock)


def wanted_columns(job: Job) -> list[str] | None:
    """The columns to read besides the carried ones; None for all."""
    return [job.embed.text_column] if job.embed is not None else job.input.columns


def _batch_rows(job: Job) -> int:
    """Rows of one call, as far as they are known before the function is built; the default of `embed` is not."""
    if job.function is not None:
        return options_of(FunctionReference.of(job.function).load()).batch_rows
    assert job.embed is not None
    return job.embed.batch_rows or 1
