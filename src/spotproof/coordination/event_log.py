"""The append-only event log: segments of JSON lines, ROOT/events/WORKER/ATTEMPT/SEGMENT.jsonl, each created once."""

import json
import threading
from collections import deque
from collections.abc import Iterator

from spotproof.core.clock import Clock
from spotproof.core.errors import AlreadyExists, NotFound, OutcomeUnknown, StorageError
from spotproof.core.events import Event, Recorded, from_json, to_json
from spotproof.storage.store import Store

EVENTS = "events"
_WAITING_MAX = 100_000  # lines kept while the store does not answer; then the oldest go


class EventLog:
    """One writer's log. What is recorded is stored within `flush_seconds`, soon if `now`, and on `flush` and `close`.

    A store that does not answer costs the job nothing but late events: they are kept and tried again.
    """

    def __init__(self, store: Store, worker: str, attempt: int, clock: Clock, flush_seconds: float = 30.0) -> None:
        self._store = store
        self._worker = worker
        self._attempt = attempt
        self._clock = clock
        self._flush_seconds = flush_seconds
        self._lines: deque[bytes] = deque(maxlen=_WAITING_MAX)
        self._segment = 0
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._flush_often, name="spotproof-events", daemon=True)
        self._thread.start()

    def record(self, event: Event, now: bool = False) -> None:
        """Take one event; never waits for the store. `now`: do not wait for the next flush."""
        line = json.dumps(to_json(Recorded(self._clock.now(), self._worker, self._attempt, event))).encode() + b"\n"
        with self._lock:
            self._lines.append(line)
        if now:
            self._wake.set()

    def flush(self) -> bool:
        """Store what is waiting; False if the store did not answer, and it waits still."""
        with self._flushing:
            with self._lock:
                lines = list(self._lines)
                self._lines.clear()
            if not lines or self._store_segment(b"".join(lines)):
                return True
            with self._lock:
                self._lines.extendleft(reversed(lines[-(_WAITING_MAX - len(self._lines)) :]))
            return False

    def close(self) -> None:
        """Store what is waiting, and stop."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        self.flush()

    def _flush_often(self) -> None:
        while not self._closed:
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            if not self._closed:
                self.flush()

    def _store_segment(self, body: bytes) -> bool:
        while True:
            path = f"{EVENTS}/{self._worker}/{self._attempt:06d}/{self._segment:06d}.jsonl"
            try:
                self._store.create(path, body)
            except (AlreadyExists, OutcomeUnknown):
                # Ours, by an earlier try whose reply was lost, or an earlier segment: reading tells.
                standing = self._standing(path)
                if standing is None:
                    return False
                self._segment += 1
                if standing != body:
                    continue
                return True
            except StorageError:
                return False
            self._segment += 1
            return True

    def _standing(self, path: str) -> bytes | None:
        try:
            return self._store.read(path)
        except StorageError:
            return None


def read_events(store: Store, prefix: str = EVENTS) -> Iterator[Recorded]:
    """All events below `prefix`, by time. Lines that are torn, foreign, or of a kind not known here are left out."""
    found: list[Recorded] = []
    for path in sorted(info.path for info in store.list(prefix)):
        try:
            body = store.read(path)
        except NotFound:
            continue
        for line in body.splitlines():
            try:
                recorded = from_json(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
            if recorded is not None:
                found.append(recorded)
    return iter(sorted(found, key=lambda one: one.at))
