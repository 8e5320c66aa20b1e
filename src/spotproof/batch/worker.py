"""A worker: takes shards one after another until none is left, or until it is told to leave.

The same class runs under every engine; it knows nothing of processes. In the seconds after a notice, in order: what is
computed is committed at once, the batch in hand is finished and committed too, the lease is given back.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from spotproof.batch.chain import Committed, Writer, is_complete, read_tip
from spotproof.batch.computation import Computation
from spotproof.batch.inputs.reader import read_shard
from spotproof.batch.inputs.slices import Shard
from spotproof.batch.job import Job
from spotproof.batch.output import OutputColumns
from spotproof.batch.record import JobRecord
from spotproof.batch.refusals import RefusalBudget
from spotproof.batch.rows import Refusal
from spotproof.batch.shard_run import ShardRun
from spotproof.batch.shard_writer import ShardWriter
from spotproof.batch.suspects import Suspect
from spotproof.coordination.lease import Coordinator, Lease
from spotproof.core.clock import Clock
from spotproof.core.errors import CoordinationError, FunctionError, InputError
from spotproof.core.events import Event, NoticeHandled, NoticeReceived, PartCommitted, RowRefused, ShardLeased
from spotproof.notices.notice import Notice
from spotproof.storage.store import Store

_IDLE_SECONDS = 0.5  # between two looks at shards that others hold; short, since this only happens near the end
_REFUSALS_TOLD = 10  # a worker; failed/ holds them all
_OTHERS_LOOKED_AT = 32  # shards of other workers whose parts are listed in one such look


class Outcome(Enum):
    """Why a worker stopped."""

    COMPLETE = "complete"  # every shard of the job is at its end
    INTERRUPTED = "interrupted"  # told to leave; what was computed is committed


class Reporter(Protocol):
    """Where a worker tells what it does."""

    def event(self, event: Event) -> None:
        """Something for the event log."""
        ...

    def in_hand(self, shard: int, ranges: Sequence[tuple[int, int]]) -> None:
        """See `Watch.in_hand`."""
        ...

    def computed(self, rows: int) -> None:
        """So many more input rows have gone through."""
        ...


@dataclass(frozen=True)
class Place:
    """Where and for what a worker works."""

    store: Store
    record: JobRecord
    job: Job
    worker: str
    attempt: int


class Worker:
    """Works through the shards of one job. `done` are shards known to be complete; `suspects` see suspects.py."""

    def __init__(
        self,
        place: Place,
        computation: Computation,
        coordinator: Coordinator,
        clock: Clock,
        reporter: Reporter,
        budget: RefusalBudget,
        done: Sequence[int] = (),
        suspects: Sequence[Suspect] = (),
    ) -> None:
        self._place = place
        self._computation = computation
        self._coordinator = coordinator
        self._clock = clock
        self._reporter = reporter
        self._budget = budget
        self._suspects = suspects
        done_set = set(done)
        self._open: dict[int, Shard] = {s.number: s for s in place.record.plan.shards if s.number not in done_set}
        self._unreadable: dict[int, InputError] = {}
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="spotproof-commit")
        self._output = output_columns(place.store, place.record, place.job, clock)
        self._notice: Notice | None = None
        self._noticed_at = 0.0
        self._lost = threading.Event()
        self._current: tuple[Lease, ShardWriter] | None = None
        self._lock = threading.Lock()
        self._rows_after_notice = 0
        self._rows_repeated = 0
        self._refusals_left = _REFUSALS_TOLD

    def run(self) -> Outcome:
        """Work until everything is done or a notice came. Raises what stops a job: see core/errors.py."""
        heart = threading.Thread(target=self._beat, name="spotproof-heartbeat", daemon=True)
        self._stopped = threading.Event()
        heart.start()
        try:
            while self._notice is None and self._open:
                lease = self._take()
                if lease is None:
                    self._look_at_others()
                else:
                    self._work(lease)
        finally:
            self._stopped.set()
            self._executor.shutdown()
        if self._notice is not None:
            self._tell_notice_handled()
            return Outcome.INTERRUPTED
        if self._unreadable:
            raise _several(self._unreadable)
        return Outcome.COMPLETE

    def notice(self, notice: Notice) -> None:
        """This machine goes: commit what is computed now, finish the batch in hand, leave. From any thread."""
        with self._lock:
            if self._notice is not None:
                return
            self._noticed_at = self._clock.monotonic()
            self._notice = notice
            current = self._current
        if current is not None:
            current[1].commit_now()
        self._reporter.event(NoticeReceived(notice.source, notice.action, notice.grace_seconds(self._clock)))

    def suspect(self, suspects: Sequence[Suspect]) -> None:
        """Go by these suspects from the next shard on. From any thread."""
        self._suspects = suspects

    def leaving(self) -> bool:
        """Whether the run of the current shard should stop at the next batch."""
        return self._notice is not None or self._lost.is_set()

    def in_hand(self, shard: int, ranges: Sequence[tuple[int, int]]) -> None:
        """Passed on to the reporter."""
        self._reporter.in_hand(shard, ranges)

    def computed(self, rows: int) -> None:
        """Passed on to the reporter."""
        self._reporter.computed(rows)

    def refused(self, shard: int, refusals: Sequence[Refusal]) -> None:
        """The first few are told; all are in failed/."""
        told = refusals[: self._refusals_left]
        self._refusals_left -= len(told)
        for refusal in told:
            self._reporter.event(RowRefused(shard, refusal.row, refusal.error_type, refusal.error))

    def _take(self) -> Lease | None:
        candidates = [number for number in self._open if number not in self._unreadable]
        try:
            return self._coordinator.acquire(candidates, self._place.worker)
        except CoordinationError:
            # Leases only save double work; without them every worker starts elsewhere and the parts keep order.
            offset = sum(self._place.worker.encode()) % len(candidates) if candidates else 0
            return Lease(candidates[offset], self._place.worker, 0) if candidates else None

    def _work(self, lease: Lease) -> None:
        store, shard = self._place.store, self._open[lease.shard]
        tip = read_tip(store, shard.number)
        self._reporter.event(ShardLeased(shard.number, lease.epoch, tip.position))
        if is_complete(shard, tip):
            del self._open[shard.number]
            self._release(lease)
            return
        identity = Writer(self._place.record.job_id, self._place.worker, self._place.attempt, lease.epoch)
        writer = ShardWriter(
            store,
            shard.number,
            tip,
            identity,
            self._place.job.commit,
            self._clock,
            self._executor,
            self._on_commit,
        )
        self._lost.clear()
        with self._lock:
            self._current = (lease, writer)
        try:
            self._run_shard(shard, writer)
        finally:
            with self._lock:
                self._current = None
            self._release(lease)

    def _run_shard(self, shard: Shard, writer: ShardWriter) -> None:
        job, plan = self._place.job, self._place.record.plan
        blocks = read_shard(
            job.input,
            plan.files,
            shard,
            plan.schema,
            writer.tip.position,
            self._computation.batch_rows,
            identity=not job.input.carry,
        )
        run = ShardRun(
            shard.number,
            shard.rows,
            blocks,
            self._computation,
            self._output,
            writer,
            self,
            self._budget,
            self._suspects,
            job.errors.max_crashes,
        )
        try:
            reached_end = run.run()
        except FunctionError:
            writer.drain()  # the rows before the broken batch are good
            raise
        except InputError as error:
            # The rows before the damage are kept, the other shards go on; the job says so at its end.
            self._unreadable[shard.number] = error
            reached_end = False
        if is_complete(shard, writer.drain()) or reached_end:
            del self._open[shard.number]

    def _on_commit(self, committed: Committed) -> None:
        if self._notice is not None:
            self._rows_after_notice += sum(part.stop - part.start for part in committed.parts)
        # Where another worker's part held all of our rows there is no part of ours to say so: the next one does.
        self._rows_repeated += committed.rows_repeated
        for part in committed.parts:
            repeated, self._rows_repeated = self._rows_repeated, 0
            self._reporter.event(
                PartCommitted(
                    shard=part.shard,
                    start=part.start,
                    stop=part.stop,
                    rows_out=part.rows_out,
                    rows_failed=part.rows_failed,
                    rows_repeated=repeated,
                    bytes=committed.bytes_stored,
                    encode_seconds=round(committed.encode_seconds, 4),
                    store_seconds=round(committed.store_seconds, 4),
                    counts=part.counts,
                )
            )

    def _look_at_others(self) -> None:
        """Wait a little; find out which of the shards that others hold have been finished."""
        if all(number in self._unreadable for number in self._open):
            self._open.clear()
            return
        self._clock.sleep(_IDLE_SECONDS)
        for number in list(self._open)[:_OTHERS_LOOKED_AT]:
            if self._notice is not None:
                return
            if is_complete(self._open[number], read_tip(self._place.store, number)):
                del self._open[number]

    def _beat(self) -> None:
        """Renew the lease of the shard in work, three times within its life."""
        while not self._stopped.wait(self._place.job.lease_seconds / 3):
            with self._lock:
                current = self._current
            if current is None:
                continue
            lease, writer = current
            try:
                kept = self._coordinator.renew(lease, writer.tip.position)
            except CoordinationError:
                continue  # cannot know: not the same as lost
            with self._lock:
                if not kept and self._current is current:
                    self._lost.set()

    def _release(self, lease: Lease) -> None:
        try:
            self._coordinator.release(lease)
        except CoordinationError:
            return  # it expires by itself

    def _tell_notice_handled(self) -> None:
        seconds = self._clock.monotonic() - self._noticed_at
        self._reporter.event(NoticeHandled(round(seconds, 3), self._rows_after_notice, 0))


def given_columns(job: Job, schema_names: Sequence[str]) -> list[str]:
    """The input columns that the function is given."""
    if job.embed is not None:
        return [job.embed.text_column]
    return list(job.input.columns) if job.input.columns is not None else list(schema_names)


def output_columns(store: Store, record: JobRecord, job: Job, clock: Clock) -> OutputColumns:
    """What the function is given of each row, and what is carried to the output."""
    carried = job.input.carry or ["file", "row"]
    return OutputColumns(store, clock, given_columns(job, record.plan.schema.names), carried)


def _several(unreadable: dict[int, InputError]) -> InputError:
    lines = "\n".join(f"  shard {number}: {error}" for number, error in sorted(unreadable.items()))
    count = "1 shard" if len(unreadable) == 1 else f"{len(unreadable)} shards"
    return InputError(f"{count} could not be read to the end; all rows before the damage are kept:\n{lines}")
