"""Gathers a shard's results and commits them in the background, in order."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future

from spotproof.batch.chain import Committed, Tip, Writer, commit
from spotproof.batch.job import Commit
from spotproof.batch.rows import Results, join
from spotproof.core.clock import Clock
from spotproof.storage.store import Store


class ShardWriter:
    """Results go in by `append`, in order; parts come out at the rate that `limits` sets.

    The executor must have one thread: parts of a shard are committed one after another. An error of a commit is
    raised at the next call.
    """

    def __init__(
        self,
        store: Store,
        shard: int,
        tip: Tip,
        writer: Writer,
        limits: Commit,
        clock: Clock,
        executor: Executor,
        on_commit: Callable[[Committed], None],
    ) -> None:
        self._store = store
        self._shard = shard
        self._tip = tip
        self._writer = writer
        self._limits = limits
        self._clock = clock
        self._executor = executor
        self._on_commit = on_commit
        self._lock = threading.Lock()
        self._waiting: list[Results] = []
        self._rows_waiting = 0
        self._oldest_at = 0.0
        self._in_flight: Future[None] | None = None

    @property
    def tip(self) -> Tip:
        """Where the shard's chain ends, as far as this worker knows."""
        return self._tip

    def append(self, results: Results) -> None:
        """Take results that follow the ones before; begin a commit if enough is waiting."""
        with self._lock:
            if not self._waiting:
                self._oldest_at = self._clock.monotonic()
            self._waiting.append(results)
            self._rows_waiting += results.stop - results.start
            due = (
                self._rows_waiting >= self._limits.rows
                or self._clock.monotonic() - self._oldest_at >= self._limits.seconds
            )
        if due:
            self._wait()  # one commit at a time: a slow store slows the job instead of filling the memory
            self.commit_now()
        elif self._in_flight is not None and self._in_flight.done():
            self._wait()

    def commit_now(self) -> "Future[None]":
        """Begin to commit all that is waiting. May be called from any thread, as on a notice."""
        with self._lock:
            self._in_flight = self._executor.submit(self._commit)
            return self._in_flight

    def drain(self) -> Tip:
        """Commit all that is waiting; return when it is durable."""
        self.commit_now()
        self._wait()
        return self._tip

    def _wait(self) -> None:
        if self._in_flight is not None:
            self._in_flight.result()

    def _commit(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._rows_waiting = 0
        if not waiting:
            return
        results = join(waiting).from_row(self._tip.position)
        if results.start >= results.stop and (self._tip.final or not results.final):
            return
        try:
            committed = commit(self._store, self._shard, self._tip, results, self._writer, self._clock)
        except BaseException:
            with self._lock:  # nothing is lost: the next commit begins with the same rows
                self._waiting.insert(0, results)
                self._rows_waiting += results.stop - results.start
            raise
        self._tip = committed.tip
        self._on_commit(committed)
