"""The parent of a local run: starts workers, plans while they load, keeps them running, ends in good order.

None of the protocol's promises need it: kill it, and its workers commit what they have and leave.
"""

import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from spotproof.batch.finish import Totals, finish
from spotproof.batch.job import Job
from spotproof.batch.prepare import prepare
from spotproof.batch.record import JobRecord
from spotproof.batch.scan import Scan, scan
from spotproof.batch.status import interruptions_so_far
from spotproof.batch.suspects import Suspect, after_death
from spotproof.coordination.event_log import EventLog
from spotproof.core import errors
from spotproof.core.clock import Clock
from spotproof.core.errors import FunctionError, InputError, Interrupted, SpotproofError
from spotproof.core.events import Event, JobFinished, NoticeReceived, RunEnded, WorkerLost, from_json
from spotproof.core.exits import Exit
from spotproof.engines.local.attempt import PARENT, claim_attempt, suspects_so_far
from spotproof.engines.local.channel import Message
from spotproof.engines.local.crew import Crew, Happening, Left, Said, Signalled, Woken
from spotproof.engines.local.progress import Progress
from spotproof.engines.local.worker_handle import WorkerHandle
from spotproof.storage.store import Store

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LAST_WORDS_SECONDS = 1.0  # of the grace, for this process's own event after the workers have left
_FAILED_GRACE_SECONDS = 30.0  # for the other workers to commit when one has failed
_IDLE_DEATHS_MAX = 5  # in a row, of one worker, with no row in hand: it cannot load, and no row is to blame

T = TypeVar("T")


class Parent:
    """One run of a job on this machine."""

    def __init__(self, store: Store, job: Job, size: int, clock: Clock, progress: Progress) -> None:
        self._store = store
        self._job = job
        self._clock = clock
        self._progress = progress
        self._crew = Crew(job, size, progress.line)
        self._log: EventLog | None = None
        self._suspects: list[Suspect] = []
        self._idle_deaths: dict[int, int] = {}
        self._go: Message = {}
        self._held: deque[Happening] = deque()
        self._failure: SpotproofError | None = None
        self._stopped_by: str | None = None
        self._kill_at: float | None = None
        self._cut_short = False

    def run(self) -> Totals:
        """Run or resume until every row stands. Raises `Interrupted`, or the error that stopped the job."""
        began = self._clock.monotonic()
        outcome, reason = "failed", ""
        try:
            with self._signals_heard():
                totals = self._work()
            outcome = "succeeded"
            return totals
        except Interrupted as error:
            outcome, reason = "interrupted", str(error)
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._crew.kill()
            self._record(RunEnded(outcome, reason, round(self._clock.monotonic() - began, 3)))
            if self._log is not None:
                self._log.close()

    def _work(self) -> Totals:
        for index in range(self._crew.size):
            self._crew.start(index)
        record = self._unless_signalled(self._prepare)
        self._supervise()
        totals = self._unless_signalled(lambda: finish(self._store, record, self._clock))
        done = JobFinished(totals.rows_in, totals.rows_out, totals.rows_failed, totals.parts)
        self._record(done)
        self._progress.event(PARENT, done)
        return totals

    def _prepare(self) -> JobRecord:
        record = prepare(self._store, self._job, self._clock)
        interruptions = interruptions_so_far(self._store)
        self._suspects = suspects_so_far(self._store)
        attempt = claim_attempt(self._store, record, self._crew.size, self._clock)
        self._log = EventLog(self._store, PARENT, attempt, self._clock)
        self._crew.tell({"is": "identity", "job_id": record.job_id, "attempt": attempt})
        found = scan(self._store)
        self._progress.planned(record.plan.rows_total, found.rows_done, found.rows_failed, interruptions)
        self._go = _go(record, found, self._suspects)
        self._crew.tell(self._go)
        return record

    def _unless_signalled(self, work: Callable[[], T]) -> T:
        """`work`, during which no row is in hand: a signal needs nothing saved, and ends the run at once.

        In a thread, since an exception raised by a signal's handler would come up inside whatever the main thread
        does, a library's locks held and all.
        """
        done: Future[T] = Future()

        def do() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)
            self._crew.happenings.put(Woken())

        threading.Thread(target=do, name="spotproof-prepare", daemon=True).start()
        while not done.done():
            happening = self._crew.happenings.get()
            if isinstance(happening, Signalled):
                self._stopped_by = signal.Signals(happening.number).name
                raise Interrupted(f"stopped by {self._stopped_by}; run the same command to resume")
            self._held.append(happening)
        return done.result()

    def _next(self) -> Happening | None:
        """What happened next; None when the time is up."""
        if self._held:
            return self._held.popleft()
        patience = None if self._kill_at is None else max(0.0, self._kill_at - self._clock.monotonic())
        try:
            return self._crew.happenings.get(timeout=patience)
        except queue.Empty:
            return None

    def _supervise(self) -> None:
        while self._crew.living:
            match self._next():
                case None:
                    self._kill_at = None
                    self._crew.kill()
                case Said(worker, message):
                    self._heard(worker, message)
                case Left(worker, code):
                    self._left(worker, code)
                case Signalled(number):
                    self._signalled(number)
                case Woken():
                    pass
        if self._failure is not None:
            raise self._failure
        if self._cut_short:
            raise Interrupted(
                f"stopped by {self._stopped_by}; everything computed is committed: run the same command to resume"
            )

    def _heard(self, worker: WorkerHandle, message: Message) -> None:
        match message["is"]:
            case "hand":
                worker.hand = [(message["shard"], start, stop) for start, stop in message["ranges"]]
            case "computed":
                self._progress.computed(message["rows"])
            case "event":
                recorded = from_json(message["event"])
                if recorded is not None:
                    self._progress.event(worker.name, recorded.event)
            case "ready":
                worker.ready = True
                self._idle_deaths[worker.index] = 0
            case "end":
                worker.outcome = message["outcome"]
            case "failed":
                self._failed(worker, message)
            case kind:
                raise AssertionError(f"a worker sent {kind!r}")

    def _failed(self, worker: WorkerHandle, message: Message) -> None:
        worker.outcome = "failed"
        kind = getattr(errors, message["error"], None)
        if isinstance(kind, type) and issubclass(kind, SpotproofError):
            failure = kind(message["message"])
        else:
            failure = FunctionError(message["message"])
        if self._failure is None:
            self._failure = failure
        # Damaged input is told at the end of all other work, in which the other workers may still be.
        if not isinstance(failure, InputError) and self._kill_at is None:
            self._stop("a failed worker", "fail", _FAILED_GRACE_SECONDS)

    def _left(self, worker: WorkerHandle, code: int) -> None:
        del self._crew.living[worker.name]
        if worker.outcome in ("complete", "failed"):
            return
        if self._kill_at is not None or self._stopped_by is not None:
            self._cut_short = True
            return
        interrupted = code == Exit.INTERRUPTED
        # What it had in hand when it was told to leave is not suspected of anything.
        ranges = [] if interrupted else worker.hand
        lost = WorkerLost(worker.name, signal=max(0, -code), exit_code=max(0, code), ranges=[list(r) for r in ranges])
        self._record(lost, now=True)
        self._progress.event(PARENT, lost)
        if ranges:
            self._suspects = after_death(self._suspects, ranges)
            suspects = _suspects_json(self._suspects)
            self._go = {**self._go, "suspects": suspects}
            self._crew.tell_later(self._go)
            self._crew.tell_living({"is": "suspects", "suspects": suspects})
        elif not interrupted and self._dies_idle(worker):
            self._failure = FunctionError(_cannot_load(worker, code))
            self._stop("a failed worker", "fail", _FAILED_GRACE_SECONDS)
            return
        self._crew.start(worker.index)

    def _dies_idle(self, worker: WorkerHandle) -> bool:
        deaths = self._idle_deaths.get(worker.index, 0) + 1
        self._idle_deaths[worker.index] = deaths
        return deaths >= _IDLE_DEATHS_MAX

    def _signalled(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._stopped_by is not None:
            if number == signal.SIGINT:
                self._crew.kill()  # a person who asks twice wants out
            return
        grace = max(0.0, self._job.grace_seconds - _LAST_WORDS_SECONDS)
        notice = NoticeReceived(name, "terminate", self._job.grace_seconds)
        self._stop(name, "terminate", grace)
        self._record(notice)
        self._progress.event(PARENT, notice)

    def _stop(self, source: str, action: str, grace_seconds: float) -> None:
        self._stopped_by = source
        self._kill_at = self._clock.monotonic() + grace_seconds
        self._crew.stop(source, action, grace_seconds)

    def _record(self, event: Event, now: bool = False) -> None:
        if self._log is not None:
            self._log.record(event, now=now)

    @contextmanager
    def _signals_heard(self) -> Generator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # Python hears signals in its main thread only; the caller's own handling stays
            return
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._crew.happenings.put(Signalled(number))  # the one queue whose put may interrupt itself


def _go(record: JobRecord, found: Scan, suspects: list[Suspect]) -> Message:
    return {
        "is": "go",
        "done": found.complete_shards(record.plan),
        "suspects": _suspects_json(suspects),
        "rows_seen": found.rows_done,
        "rows_refused": found.rows_failed,
    }


def _suspects_json(suspects: list[Suspect]) -> list[list[int]]:
    return [[s.shard, s.start, s.stop, s.deaths, s.alone] for s in suspects]


def _cannot_load(worker: WorkerHandle, code: int) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
    said = "\n".join(f"  {line}" for line in worker.last_lines) or "  (nothing)"
    return (
        f"a worker process {how} {_IDLE_DEATHS_MAX} times with no row in hand, so the function cannot be loaded or "
        f"the results cannot be written; its last output:\n{said}"
    )
