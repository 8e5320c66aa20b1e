"""Where a job stands, from its root alone: the parts for rows, the parents' events for what happened to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spotproof.batch.finish import read_success
from spotproof.batch.record import Plan, read_record
from spotproof.batch.retried import resolved_rows
from spotproof.batch.scan import Scan, scan
from spotproof.coordination.event_log import read_events
from spotproof.core.clock import Clock
from spotproof.core.events import Recorded, RunEnded, RunStarted, WorkerLost
from spotproof.core.ids import ProcessIdentity
from spotproof.storage.store import Store

State = Literal["PENDING", "STARTING", "RUNNING", "RECOVERING", "SUCCEEDED", "FAILED"]

PARENT_EVENTS = "events/parent"
# Of a parent on another machine: leases are renewed every 10 s and parts come every 30 s unless told otherwise.
_SILENT_SECONDS = 120.0


@dataclass(frozen=True)
class Status:
    """A job at one moment. Rows are input rows, durable ones only; times are seconds since 1970.

    `rows_total` is None where only reading the input would tell, and an estimate where `rows_total_estimated`.
    `rows_failed` counts rows that are refused still, those of an earlier try that a retry mended are done.
    """

    state: State
    reason: str
    name: str
    job_id: str
    root: str
    rows_total: int | None
    rows_total_estimated: bool
    rows_done: int
    rows_failed: int
    parts: int
    bytes: int
    shards: int
    shards_done: int
    interruptions: int
    attempts: int
    created_at: float
    last_commit_at: float | None


def read_status(store: Store, clock: Clock) -> Status:
    """Raises `NotFound` where the root holds no job."""
    record = read_record(store)
    found = scan(store)
    attempts = _attempts(list(read_events(store, PARENT_EVENTS)))
    state, reason = _state(store, found, attempts, clock)
    total, estimated = _rows_total(record.plan, found)
    return Status(
        state=state,
        reason=reason,
        name=record.name,
        job_id=record.job_id,
        root=store.uri,
        rows_total=total,
        rows_total_estimated=estimated,
        rows_done=found.rows_done,
        rows_failed=found.rows_failed - (resolved_rows(store) if found.rows_failed else 0),
        parts=found.parts,
        bytes=found.bytes,
        shards=len(record.plan.shards),
        shards_done=len(found.complete_shards(record.plan)),
        interruptions=_interruptions(attempts, _is_alive(store, attempts[-1], found, clock) if attempts else False),
        attempts=len(attempts),
        created_at=record.created_at,
        last_commit_at=found.modified or None,
    )


def interruptions_so_far(store: Store) -> int:
    """Interruptions of the attempts before this one: notices, attempts that vanished, workers that ended early."""
    return _interruptions(_attempts(list(read_events(store, PARENT_EVENTS))), last_is_alive=False)


@dataclass
class _Attempt:
    """One parent's life, as far as it told."""

    started: RunStarted
    at: float
    ended: RunEnded | None = None
    workers_lost: int = 0
    last_word_at: float = 0.0


def _attempts(events: Sequence[Recorded]) -> list[_Attempt]:
    by_number: dict[int, _Attempt] = {}
    for recorded in events:
        event = recorded.event
        if isinstance(event, RunStarted):
            by_number[recorded.attempt] = _Attempt(event, recorded.at)
        attempt = by_number.get(recorded.attempt)
        if attempt is None:
            continue
        attempt.last_word_at = max(attempt.last_word_at, recorded.at)
        if isinstance(event, RunEnded):
            attempt.ended = event
        elif isinstance(event, WorkerLost):
            attempt.workers_lost += 1
    # A process that had to claim twice (its first claim's reply was lost) is one attempt: the later number.
    lives = {(a.started.host, a.started.boot, a.started.pid, a.started.process_started, a.started.job_id): a
             for _, a in sorted(by_number.items())}  # fmt: skip
    same_process_twice = {id(a) for a in lives.values()}
    return [a for _, a in sorted(by_number.items()) if a.ended is not None or id(a) in same_process_twice]


def _interruptions(attempts: Sequence[_Attempt], last_is_alive: bool) -> int:
    count = sum(attempt.workers_lost for attempt in attempts)
    for attempt in attempts:
        if attempt.ended is not None:
            count += attempt.ended.outcome == "interrupted"
        elif not (last_is_alive and attempt is attempts[-1]) and _process(attempt).is_dead() is not False:
            count += 1
    return count


def _state(store: Store, found: Scan, attempts: Sequence[_Attempt], clock: Clock) -> tuple[State, str]:
    if read_success(store) is not None:
        return "SUCCEEDED", "every input row stands exactly once"
    if not attempts:
        return "PENDING", "not started yet"
    living = [attempt for attempt in attempts if attempt.ended is None and _is_alive(store, attempt, found, clock)]
    if living:
        return _living_state(living[-1], found, first=len(attempts) == 1)
    last = attempts[-1]
    if last.ended is None:
        return "PENDING", "taken down without notice; run the same command to resume"
    if last.ended.outcome == "failed":
        return "FAILED", last.ended.reason
    return "PENDING", last.ended.reason or "interrupted; run the same command to resume"


def _living_state(attempt: _Attempt, found: Scan, first: bool) -> tuple[State, str]:
    where = f"on {attempt.started.host} (pid {attempt.started.pid}), {attempt.started.workers} workers"
    if found.modified > attempt.at:
        return "RUNNING", where
    return ("STARTING" if first else "RECOVERING"), f"{where}; nothing committed by this attempt yet"


def _is_alive(store: Store, attempt: _Attempt, found: Scan, clock: Clock) -> bool:
    dead = _process(attempt).is_dead()
    if dead is not None:
        return not dead
    renewed = max((info.modified for info in store.list("leases")), default=0.0)
    return clock.now() - max(found.modified, renewed, attempt.last_word_at) < _SILENT_SECONDS


def _process(attempt: _Attempt) -> ProcessIdentity:
    run = attempt.started
    return ProcessIdentity(run.host, run.boot, run.pid, run.process_started)


def _rows_total(plan: Plan, found: Scan) -> tuple[int | None, bool]:
    """(rows of the whole input, whether that is an estimate from the bytes of the shards that are done)."""
    if plan.rows_total is not None:
        return plan.rows_total, False
    sizes = {shard.number: sum(piece.stop - piece.start for piece in shard.slices) for shard in plan.shards}
    done = found.complete_shards(plan)
    rows_done, bytes_done = sum(found.tips[n].position for n in done), sum(sizes[n] for n in done)
    if len(done) == len(plan.shards):
        return rows_done, False
    if not bytes_done:
        return None, False
    return max(found.rows_done, round(rows_done * sum(sizes.values()) / bytes_done)), True
